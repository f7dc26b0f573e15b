"""What is shipped to run us elsewhere, held against the code and against what its own programs would accept."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from deployed import COMPOSE, DEPLOY, KUBERNETES
from rig import ROOT

from gateway import settings

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
OURS = ("gateway", "worker")
MOST_CORES = 64
"""Of a machine that anybody would run `serve --processes` on, one gateway for each."""


def names_of_settings() -> set[str]:
    shown = settings.Settings()
    return {
        f"PRESENCE_{section}__{key}".upper()
        for section in shown.__struct_fields__
        for key in getattr(shown, section).__struct_fields__
    }


def test_as_many_proxies_are_believed_as_are_shipped() -> None:
    """Where none stands, whoever calls would choose the address that guessing is counted under."""
    name = "PRESENCE_HTTP__TRUSTED_PROXIES"
    assert f"\n{name}=0\n" in (KUBERNETES / "base/presence.env").read_text()
    assert not any("kind: Ingress" in file.read_text() for file in KUBERNETES.rglob("*.yaml"))
    assert COMPOSE["services"]["gateway"]["environment"][name] == "1"
    assert "X-Forwarded-For" in (DEPLOY / "nginx/compose.conf").read_text()
    assert f"Set {name}=1" in (DEPLOY / "nginx/presence.conf").read_text()


@pytest.mark.parametrize(
    "file",
    [
        file
        for file in sorted(DEPLOY.rglob("*"))
        if file.is_file() and file.suffix in {".yaml", ".service", ".conf", ".env", ""}
    ],
    ids=lambda file: str(file.relative_to(DEPLOY)),
)
def test_every_setting_that_a_file_names_exists(file: Path) -> None:
    named = set(re.findall(r"PRESENCE_[A-Z]+__[A-Z_]+", file.read_text()))
    assert named - names_of_settings() == set()


def test_every_file_names_the_port_that_a_worker_takes_by_itself() -> None:
    port = settings.Settings().worker.port
    worker, *_ = yaml.safe_load_all((KUBERNETES / "base/worker.yaml").read_text())
    of_pod = worker["spec"]["template"]
    assert of_pod["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    assert [open_["containerPort"] for open_ in of_pod["spec"]["containers"][0]["ports"]] == [port]
    policy = yaml.safe_load((KUBERNETES / "base/network.yaml").read_text())
    assert port in [open_["port"] for rule in policy["spec"]["ingress"] for open_ in rule["ports"]]
    assert re.search(rf"^EXPOSE .*\b{port}\b", DOCKERFILE, re.MULTILINE)
    assert f"127.0.0.1:{port}/readyz" in COMPOSE["services"]["worker"]["healthcheck"]["test"][-1]
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert [job["dns_sd_configs"][0]["port"] for job in scraped if job["job_name"] == "presence-worker"] == [port]


def test_workers_begin_where_no_gateway_of_the_same_machine_gets_to() -> None:
    defaults = settings.Settings()
    assert defaults.worker.port - defaults.admin.port > MOST_CORES


def test_compose_declares_whatever_its_services_use_and_mounts_only_what_is_there() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert "image" in service, name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert set(service.get("depends_on", ())) <= set(services), name
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            known = (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            assert known, (name, volume)
    assert (DEPLOY / COMPOSE["services"]["gateway"]["build"]["context"] / "pyproject.toml").exists()


def test_compose_opens_nothing_to_other_machines() -> None:
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def on_network(name: str) -> set[str]:
    return {service for service, found in COMPOSE["services"].items() if name in found["networks"]}


def test_compose_lets_only_gateways_and_workers_reach_valkey_which_has_no_password() -> None:
    (network,) = COMPOSE["services"]["valkey"]["networks"]
    assert COMPOSE["networks"][network] == {"internal": True}
    assert on_network(network) == {"valkey", *OURS}


def test_compose_lets_nobody_but_prometheus_reach_the_workers_and_the_dashboard_reach_nothing_else() -> None:
    assert on_network("watch") == {"prometheus", *OURS}
    assert on_network("board") == {"prometheus", "grafana"}
    assert COMPOSE["services"]["grafana"]["networks"] == ["board"]
    assert on_network("front") == {"proxy", "gateway"}


def test_compose_lets_nobody_sign_in_to_grafana() -> None:
    """The image's own default is the password admin of an admin, by a form and by HTTP's basic authentication."""
    told = COMPOSE["services"]["grafana"]["environment"]
    assert told["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert told["GF_AUTH_BASIC_ENABLED"] == "false"
    assert told["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert (told["GF_AUTH_ANONYMOUS_ENABLED"], told["GF_AUTH_ANONYMOUS_ORG_ROLE"]) == ("true", "Viewer")
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/presence.yml").read_text())["providers"]
    assert provider["allowUiUpdates"] is False


def test_compose_runs_ours_read_only_and_without_rights() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["command"][0] in {"gateway", "workers"}


def test_compose_leaves_every_end_time_to_drain() -> None:
    defaults = settings.Settings()
    gateway, worker = (COMPOSE["services"][name] for name in OURS)
    delay_s = float(gateway["environment"]["PRESENCE_HTTP__DRAIN_DELAY_S"])
    # Callers, then what Redis has not taken, may each take as long as the timeout.
    assert float(gateway["stop_grace_period"].removesuffix("s")) > delay_s + 2 * defaults.http.drain_timeout_s + 1
    assert float(worker["stop_grace_period"].removesuffix("s")) > defaults.worker.drain_timeout_s + 1


def test_the_image_runs_as_nobody_and_copies_only_what_is_there() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists() or source == "config", source
            assert source in kept, f"{source} is not in the build's context"


def test_the_image_pins_what_the_tests_ran_with_and_nothing_that_only_tests_need() -> None:
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9_.-]+(?:\[[a-z,]+\])?==[^\s;]+)", file.read_text(), re.MULTILINE))

    image = pins(DEPLOY / "requirements.lock")
    assert image
    assert image <= pins(ROOT / "requirements.lock")
    assert not any(pin.startswith(("pytest==", "mypy==", "matplotlib==")) for pin in image)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[a-z0-9_.-]+", pin)[0] for pin in image}  # type: ignore[index]
    assert {re.match(r"[a-z0-9_.-]+", line)[0] for line in wanted} <= names  # type: ignore[index]
