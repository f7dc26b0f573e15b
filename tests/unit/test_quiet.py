"""The phone keeps ringing: who is told to be unavailable, and what is tried again."""

from dataclasses import dataclass, field

import pytest

from gateway.presence.model import Chat, Instance, Outcome, State, Target
from gateway.presence.quiet import Quiet
from gateway.presence.steps import RefreshPolicy

INSTANCE = Instance("i1", "a1", "demo", Target("gowa", "http://gowa", "demo"))


@dataclass
class World:
    """Two instances whose time has come, one of them gone by now."""

    outcome: Outcome = Outcome.OK
    told: list[str] = field(default_factory=list)
    recorded: list[tuple[str, bool]] = field(default_factory=list)

    async def due(self, partition: int) -> list[str]:
        return ["i1", "gone"] if partition == 7 else []

    async def rested(self, instance_id: str, *, done: bool) -> None:
        self.recorded.append((instance_id, done))

    async def latest_change(self) -> str:
        return "1"

    async def keeper(self, chats_id: str, change: str | None) -> Instance | None:
        return INSTANCE if chats_id == "i1" else None

    async def account_of(self, chats_id: str) -> str:
        raise AssertionError

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        self.told.append(target.session)
        return self.outcome

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        raise AssertionError

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        raise AssertionError


@pytest.mark.parametrize(
    ("outcome", "is_over", "count"),
    [
        (Outcome.OK, True, 1),
        (Outcome.UNSUPPORTED, True, 0),
        (Outcome.NOT_CONNECTED, True, 0),
        (Outcome.UNAVAILABLE, False, 0),
        (Outcome.UNKNOWN, False, 0),
    ],
)
async def test_an_account_is_told_once_and_again_only_where_that_may_help(
    outcome: Outcome, is_over: bool, count: int
) -> None:
    world = World(outcome)
    assert await Quiet(world, world, world, upstream_timeout_s=1).rest_due(7) == count
    assert world.told == ["demo"]
    assert world.recorded == [("i1", is_over), ("gone", True)]
