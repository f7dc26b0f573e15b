"""The image, built from deploy/Dockerfile and run by a container engine as the compose file and the manifests say."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers import Runner
from deployed import COMPOSE, KUBERNETES, kubectl
from engine import Engine, engine
from image import IMAGE, build, build_valkey
from rig import ROOT

from gateway.process import keyfile

pytestmark = pytest.mark.timeout(900)
"""Debian is bootstrapped and the image built before the first test."""

WITHIN_S = 60.0
PYTHON = "/opt/presence/bin/python"
PHONE = ("gateway", "sandbox", "--host", "0.0.0.0", "--port", "8090")
USER = 10001
OURS = ("presence-gateway", "presence-worker")
OPERATIONS = (ROOT / "docs/operations.md").read_text()
FETCH = """
import sys, urllib.error, urllib.request as u
request = u.Request(sys.argv[1], data=sys.argv[2].encode() if sys.argv[2:] else None)
try:
    answer = u.urlopen(request, timeout=5)
except urllib.error.HTTPError as refused:
    answer = refused
print(answer.status, answer.read().decode())
"""


def eventually(runner: Runner, ask: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ask():
        assert time.monotonic() < deadline, f"{what}\n{runner.said()}"
        time.sleep(0.2)


def fetch(runner: Runner, url: str, body: str | None = None) -> tuple[int, str]:
    """Ask from the phone's container, which is on the same network; status and body, or 0 where nobody answers."""
    code, told = runner.exec("phone", PYTHON, "-c", FETCH, url, *([body] if body else []))
    if code:
        return 0, told
    status, _, text = told.partition(" ")
    return int(status), text


def operate(runner: Runner, on: str, *command: str) -> Any:
    code, told = runner.exec(on, "/opt/presence/bin/presence-gateway", *command, "--json")
    assert code == 0, told
    return json.loads(told)


def present(runner: Runner, on: str, url: str) -> str:
    """Make a tenant whose upstream is the phone, and let it type; the token."""
    operate(runner, on, "account", "create", "acme")
    upstream = ("--upstream-kind", "sandbox", "--upstream-url", "http://phone:8090")
    token = str(operate(runner, on, "instance", "create", "acme", "sales", *upstream)["token"])
    body = json.dumps({"number": "5511999999999", "state": "typing", "duration": 1})
    status, told = fetch(runner, f"{url}/api/chat/presence/sales?token={token}", body)
    assert (status, json.loads(told)["success"]) == (200, True)
    return token


def paused(runner: Runner, worker: str) -> bool:
    _, told = fetch(runner, f"http://{worker}:9191/metrics")
    counted = re.findall(r"^presence_pauses_total\S* (\S+)$", told, re.MULTILINE)
    return sum(map(float, counted)) > 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # Podman wants a short path, which pytest's own is not where several processes run the tests.
    with tempfile.TemporaryDirectory(prefix="engine-") as home, engine(Path(home)) as made:
        build(made)
        build_valkey(made, tmp_path_factory.mktemp("valkey"))
        yield made


@pytest.fixture(scope="module")
def composed(built: Engine, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Those services of the compose file that are ours, and its Valkey."""
    folder = tmp_path_factory.mktemp("composed")
    secrets = folder / "secrets.toml"
    keyfile.ensure(secrets)
    os.chown(secrets, USER, -1)
    services = ("valkey", "gateway", "worker")
    runner = with_phone(built, "10.78.1.0/24", folder, *services)
    for service in services:
        runner.start_service(service, secrets)
    ready = ("http://gateway:9090/readyz", "http://worker:9191/readyz")
    eventually(runner, lambda: [fetch(runner, url)[0] for url in ready] == [200, 200], "not all of ours are ready")
    return runner


def with_phone(built: Engine, subnet: str, folder: Path, *names: str) -> Runner:
    """Have a network for containers of these names, and a phone on it."""
    runner = Runner(built, IPv4Network(subnet), folder, ("phone", *names))
    runner.start("phone", IMAGE, command=PHONE)
    return runner


def is_healthy(runner: Runner, service: str) -> bool:
    """Whether its own health check says so: the compose file's, else its image's."""
    if check := COMPOSE["services"][service].get("healthcheck"):
        return runner.exec(service, *check["test"][1:])[0] == 0
    return runner.engine.attempt("healthcheck", "run", runner.called(service)).returncode == 0


def test_the_image_holds_this_version_and_nothing_that_built_or_tests_it(built: Engine) -> None:
    look = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    held = built.podman("run", "--rm", "--entrypoint", PYTHON, IMAGE, "-c", look).split()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"presence-gateway=={version}" in held
    assert not {name.partition("==")[0] for name in held} & {"pytest", "mypy", "hypothesis", "playwright"}
    listed = built.podman("run", "--rm", "--entrypoint", "ls", IMAGE, "-A", "/", "/app", "/opt")
    assert "src" not in listed.split()
    assert "secrets.toml" not in listed


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_run_as_compose_says_its_own_health_check_finds_it_well(composed: Runner, name: str) -> None:
    """Within its own few seconds, for which a busy machine may take more than one try."""
    eventually(composed, lambda: is_healthy(composed, name), "the check fails")


def test_run_as_compose_says_a_presence_is_shown_and_paused(composed: Runner) -> None:
    token = present(composed, "gateway", "http://gateway:8080")
    eventually(composed, lambda: paused(composed, "worker"), "nothing was paused")
    for name in ("gateway", "worker"):
        assert token not in composed.engine.podman("logs", composed.called(name))


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_run_as_compose_says_it_is_nobody_who_may_do_nothing_and_writes_nowhere(composed: Runner, name: str) -> None:
    _, status = composed.exec(name, "cat", "/proc/1/status")
    assert re.findall(r"^[UG]id:\t(\d+)", status, re.MULTILINE) == [str(USER)] * 2
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    for folder in ("/app", "/tmp", "/run", "/opt/presence"):
        code, told = composed.exec(name, "touch", f"{folder}/x")
        assert (code, "Read-only file system" in told) == (1, True), told


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_run_as_compose_says_it_stops_by_itself_in_time(composed: Runner, name: str) -> None:
    within_s = COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")
    composed.engine.podman("stop", f"--time={within_s}", composed.called(name))
    assert composed.engine.inspect("inspect", composed.called(name))["State"]["ExitCode"] == 0


def documented_manifests(folder: Path) -> list[dict[str, Any]]:
    """What an operator applies who types what docs/operations.md says."""
    (script,) = re.findall(r"```sh\n(cd deploy/kubernetes/one-valkey\n.+?)```", OPERATIONS, re.DOTALL)
    shutil.copytree(KUBERNETES, folder / "deploy/kubernetes")
    path = f"{Path(sys.executable).parent}:{Path(kubectl()).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euc", script.replace("kubectl apply -k", "kubectl kustomize")],
        cwd=folder,
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


@dataclass(frozen=True)
class Cluster:
    """The pods of an overlay on one network, where a pod is known by its owner's name and so by its service's."""

    runner: Runner
    pods: dict[str, dict[str, Any]]

    def container(self, owner: str) -> dict[str, Any]:
        (found,) = self.pods[owner]["spec"]["containers"]
        container: dict[str, Any] = found
        return container

    def probe(self, owner: str, kind: str) -> int:
        """Ask what the kubelet would; the status, or 0."""
        get = self.container(owner)[f"{kind}Probe"]["httpGet"]
        (port,) = (port["containerPort"] for port in self.container(owner)["ports"] if port["name"] == get["port"])
        return fetch(self.runner, f"http://{owner}:{port}{get['path']}")[0]


@pytest.fixture(scope="module")
def cluster(built: Engine, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The pods of the overlay with a Valkey, from the secrets that the documented commands make."""
    folder = tmp_path_factory.mktemp("cluster")
    given = documented_manifests(folder)
    pods = {
        found["metadata"]["name"]: found["spec"]["template"] for found in given if "template" in found.get("spec", ())
    }
    runner = with_phone(built, "10.78.2.0/24", folder, "valkey", *OURS)
    for owner in OURS:
        built.podman("tag", IMAGE, pods[owner]["spec"]["containers"][0]["image"])
    for owner in ("valkey", *OURS):
        runner.start_pod(owner, pods[owner], given)
    made = Cluster(runner, pods)
    eventually(runner, lambda: all(made.probe(owner, "readiness") == 200 for owner in OURS), "not all are ready")
    return made


@pytest.mark.parametrize("owner", OURS)
def test_a_pod_of_the_manifests_answers_each_probe_and_is_nobody_who_may_do_nothing(
    cluster: Cluster, owner: str
) -> None:
    assert [cluster.probe(owner, kind) for kind in ("startup", "liveness", "readiness")] == [200] * 3
    _, status = cluster.runner.exec(owner, "cat", "/proc/1/status")
    assert re.findall(r"^[UG]id:\t(\d+)", status, re.MULTILINE) == [str(USER)] * 2
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    code, told = cluster.runner.exec(owner, "touch", "/tmp/x")
    assert (code, "Read-only file system" in told) == (1, True), told


def test_a_presence_through_the_manifests_service_is_shown_and_paused(cluster: Cluster) -> None:
    present(cluster.runner, "presence-gateway", "http://presence-gateway:8080")
    eventually(cluster.runner, lambda: paused(cluster.runner, "presence-worker"), "nothing was paused")


@pytest.mark.parametrize("owner", OURS)
def test_a_pod_that_is_deleted_is_unready_at_once_and_ends_by_itself_in_time(cluster: Cluster, owner: str) -> None:
    """A gateway serves on meanwhile, for whoever has not heard of it yet."""
    cluster.runner.engine.podman("kill", "--signal=TERM", cluster.runner.called(owner))
    if owner == "presence-gateway":
        assert cluster.probe(owner, "readiness") == 503
        assert fetch(cluster.runner, "http://presence-gateway:8080/health")[0] == 200
    grace_s = cluster.pods[owner]["spec"]["terminationGracePeriodSeconds"]
    code = cluster.runner.engine.podman("wait", cluster.runner.called(owner), within_s=grace_s)
    assert code == "0\n"
