"""An account that must be set available first is set so again once that is over."""

import time

import pytest

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams import client
from gateway.upstreams.adapters.gowa import Gowa
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.client import UpstreamClient

TARGET = Target("gowa", "http://gowa.example", "sales")
CHAT = Chat("5511999999999@s.whatsapp.net")


class Obeyed:
    """In place of connections: notes what is sent, and says that it was done."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def send(self, _target: Target, call: Call, _timeout_s: float) -> Reply:
        self.paths.append(call.path)
        return Reply(200, b'{"code":"SUCCESS"}')


async def test_it_is_set_available_once_and_again_when_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic, later_s, obeyed = time.monotonic, [0.0], Obeyed()
    monkeypatch.setattr("time.monotonic", lambda: monotonic() + later_s[0])
    upstreams = UpstreamClient({"gowa": Gowa()}, obeyed)  # type: ignore[arg-type]
    for later_s[0] in (0.0, 1.0, client._AVAILABLE_S + 2):
        assert await upstreams.send(TARGET, CHAT, State.TYPING, timeout_s=5) is Outcome.OK
    told, marked = "/send/chat-presence", "/send/presence"
    assert obeyed.paths == [marked, told, told, marked, told]
