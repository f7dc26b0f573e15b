"""A free port is one that stays free until whoever asked for it listens there."""

import socket
from pathlib import Path

import pytest

from gateway.commands.dev import ports

_LENT = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not _LENT.exists(), reason="needs Linux")
def test_no_outgoing_connection_takes_a_free_port_meanwhile() -> None:
    first, last = map(int, _LENT.read_text().split())
    assert not any(first <= ports.free_port() <= last for _ in range(200))


def test_a_port_that_is_held_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]
        free = ports.free_port()
        looked_at = iter([taken, taken, free])
        monkeypatch.setattr("random.choice", lambda _: next(looked_at))
        assert ports.free_port() == free
