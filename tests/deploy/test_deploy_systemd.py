"""The documented set of systemd units, all of it together, on the documented ports."""

import re
from contextlib import ExitStack
from pathlib import Path

import requests
from units import Started, Unit, documented, documented_ports, etc_presence, own_address
from valkeys import start_valkey

START_S = 60.0
"""Of two cores that do other work too."""


def role_of(address: str, port: int) -> str:
    """Who answers on an operator's port, which must be ready."""
    at = f"http://{address}:{port}"
    assert requests.get(f"{at}/readyz", timeout=5).json() == {"status": "ready"}, port
    told = requests.get(f"{at}/metrics", timeout=5).text
    (role,) = re.findall(r'presence_build_info\{role="(\w+)"', told)
    return str(role)


def test_all_documented_units_start_together_serve_on_the_documented_ports_and_stop(tmp_path: Path) -> None:
    address = own_address()
    with start_valkey(tmp_path / "valkey") as valkey, ExitStack() as running:
        etc = etc_presence(tmp_path / "etc", valkey.url, address)
        units: list[Started] = [running.enter_context(Unit(name).started(tmp_path, etc)) for name in documented()]
        for unit in units:
            unit.wait_until_ready(START_S)
        ports = documented_ports()
        assert {role: [role_of(address, port) for port in of_role] for role, of_role in ports.items()} == {
            role: [role] * len(of_role) for role, of_role in ports.items()
        }
        assert sum(len(of_role) for of_role in ports.values()) == processes(units)
        assert requests.get(f"http://{address}:8080/health", timeout=5).json()["status"] == "ok"
        for unit in units:
            assert "port_in_use" not in unit.log.read_text()
            unit.stop()


def processes(units: list[Started]) -> int:
    """How many processes the units' own commands make that have an operator's port."""
    commands = [unit.unit.settings("ExecStart")[0] for unit in units]
    return sum(int((re.findall(r"--processes (\d+)", command) or [1])[0]) for command in commands)
