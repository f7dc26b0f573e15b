"""What is remembered of accounts that were set available goes when its time is over, and is bounded."""

import pytest

from gateway.upstreams import client
from gateway.upstreams.client import UpstreamClient


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, moved by writing its one value."""
    moment = [0.0]
    monkeypatch.setattr("gateway.upstreams.client.time.monotonic", lambda: moment[0])
    return moment


def upstreams() -> UpstreamClient:
    return UpstreamClient({}, None)  # type: ignore[arg-type]


def test_what_is_over_is_forgotten(now: list[float]) -> None:
    known = upstreams()
    known._remember_available("first", client._AVAILABLE_S)
    now[0] = client._AVAILABLE_S / 2
    known._remember_available("second", client._AVAILABLE_S)
    known._remember_available("first", client._AVAILABLE_S)
    now[0] = client._AVAILABLE_S * 1.5 - 1
    known._remember_available("third", client._AVAILABLE_S)
    assert list(known._available_until) == ["second", "first", "third"]
    now[0] += 1
    known._remember_available("fourth", client._AVAILABLE_S)
    assert list(known._available_until) == ["third", "fourth"]


def test_however_many_there_are_no_more_than_so_many_are_remembered(now: list[float]) -> None:
    known = upstreams()
    for number in range(client._MOST_AVAILABLE + 100):
        known._remember_available(number, client._AVAILABLE_S)
    assert len(known._available_until) == client._MOST_AVAILABLE
    assert client._MOST_AVAILABLE + 99 in known._available_until
