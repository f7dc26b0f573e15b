"""The services of deploy/compose.yaml, but for Grafana, run together: a command, its pause, and who reaches whom."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from composed import Composed, composing, image_healthcheck, scales
from deployed import COMPOSE
from prometheus import binary

WITHIN_S = 60.0
RUN_HERE = ("valkey", "worker", "gateway", "proxy", "prometheus")
"""In the order of `depends_on`; no package has a Grafana."""

PYTHON = "/opt/presence/bin/python"
FETCH = (
    "import sys, urllib.request as u; "
    "r = u.Request(sys.argv[1], data=sys.argv[2].encode() if sys.argv[2:] else None); "
    "print(u.urlopen(r, timeout=5).read().decode())"
)
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
except OSError:
    print("no")
else:
    print("yes")
"""


def eventually(ask: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def is_healthy(composed: Composed, name: str) -> bool:
    """Whether its own health check says so: the compose file's, else its image's."""
    check = COMPOSE["services"][name.rpartition("-")[0]].get("healthcheck")
    kind, *command = check["test"] if check else ["CMD", *image_healthcheck()]
    assert kind == "CMD"
    return composed.exec(name, *command)[0] == 0


def fetch(composed: Composed, name: str, url: str, body: str | None = None) -> Any:
    code, told = composed.exec(name, sys.executable, "-c", FETCH, url, *([body] if body else []))
    assert code == 0, told
    return json.loads(told)


def reaches(composed: Composed, name: str, host: str, port: int) -> bool:
    code, told = composed.exec(name, sys.executable, "-c", CONNECT, host, str(port))
    assert code == 0, told
    return told == "yes\n"


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """All of it, with a sandbox phone as an upstream, and a caller on the network of the proxy."""
    binary("prometheus")
    with composing(tmp_path_factory.mktemp("compose")) as composed:
        for service in RUN_HERE:
            for needed in COMPOSE["services"][service].get("depends_on", ()):
                assert needed in RUN_HERE[: RUN_HERE.index(service)]
            composed.start(service, scales().get(service, 1))
            if service == "valkey":
                eventually(lambda: is_healthy(composed, "valkey-1"), "Valkey is not healthy")
        serve = [PYTHON, "-P", "-m", "gateway", "sandbox", "--host", "0.0.0.0", "--port", "8090"]
        composed.run("sandbox-1", "sandbox", networks=["watch"], command=serve)
        composed.run("caller-1", "caller", networks=["front"], command=["sleep", "infinity"])
        composed.run("stranger-1", "stranger", networks=["board"], command=["sleep", "infinity"])
        eventually(lambda: all(is_healthy(composed, name) for name in ours()), "not all of ours are healthy")
        yield composed


def ours() -> list[str]:
    return [f"{service}-{number}" for service in ("gateway", "worker") for number in range(1, scales()[service] + 1)]


def operate(composed: Composed, *command: str) -> Any:
    code, told = composed.exec("gateway-1", "/opt/presence/bin/presence-gateway", *command, "--json")
    assert code == 0, told
    return json.loads(told)


def asked(composed: Composed, expression: str) -> list[Any]:
    told = fetch(composed, "prometheus-1", f"http://127.0.0.1:9090/api/v1/query?query={expression}")
    found: list[Any] = told["data"]["result"]
    return found


def test_a_command_through_the_proxy_is_shown_and_paused_and_no_log_has_its_token(composed: Composed) -> None:
    operate(composed, "account", "create", "acme")
    upstream = ("--upstream-kind", "sandbox", "--upstream-url", "http://sandbox:8090")
    token = operate(composed, "instance", "create", "acme", "sales", *upstream)["token"]
    body = json.dumps({"number": "5511999999999", "state": "typing", "duration": 1})
    for _ in range(4):
        url = f"http://proxy:8080/api/chat/presence/sales?token={token}"
        assert fetch(composed, "caller-1", url, body)["success"] is True
    eventually(lambda: asked(composed, "sum(presence_pauses_total)>0"), "no worker's pause is in Prometheus")
    for name in (*ours(), "proxy-1"):
        assert token not in composed.log(name), name
    assert "POST /api/chat/presence/sales 200" in composed.log("proxy-1")


def test_prometheus_finds_every_gateway_and_every_worker(composed: Composed) -> None:
    def up() -> dict[str, int]:
        return {found["metric"]["job"]: int(found["value"][1]) for found in asked(composed, "sum%20by(job)(up)")}

    wanted = {f"presence-{service}": count for service, count in scales().items()}
    eventually(lambda: up() == wanted, "not every target is up")


def test_valkey_answers_gateways_and_workers_and_nobody_else(composed: Composed) -> None:
    code, told = composed.exec("valkey-1", "hostname", "-I")
    assert code == 0
    (address,) = told.split()
    assert [reaches(composed, name, "valkey", 6379) for name in ours()] == [True] * len(ours())
    for name in ("proxy-1", "prometheus-1", "caller-1", "stranger-1"):
        assert not reaches(composed, name, "valkey", 6379), name
        assert not reaches(composed, name, address, 6379), name


def test_the_dashboards_network_holds_prometheus_and_no_operators_port(composed: Composed) -> None:
    assert reaches(composed, "stranger-1", "prometheus", 9090)
    assert not reaches(composed, "stranger-1", "gateway", 9090)
    assert not reaches(composed, "caller-1", "worker", 9191)


def test_ours_write_nowhere_in_their_containers(composed: Composed) -> None:
    for name in ours():
        code, told = composed.exec(name, "touch", "/app/x")
        assert (code, "Read-only" in told) == (1, True), told
