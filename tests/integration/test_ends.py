"""Why indicators ended, as the settlements note it: on a real Valkey, in virtual time."""

import time
from collections.abc import Callable

import pytest
from integration.waking import claim_due
from redis.asyncio import Redis
from world import VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Chat, State
from gateway.presence.steps import ChatKey, Claim, Grant, RefreshPolicy, Report, Why
from gateway.store import keys
from gateway.store.ends import End, RedisEnds
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command

KEY = ChatKey("i1", Chat("5511999999999@s.whatsapp.net"))
ONCE = RefreshPolicy(600.0, 600.0)
HISTORY_S = 600


class Scene:
    """A gateway's commands and a worker's wake-ups on one chat, played by hand."""

    def __init__(self, indicators: RedisIndicators, clock: VirtualClock, redis: Redis, pipeline: Pipeline) -> None:
        self.indicators, self.clock, self.redis, self.pipeline = indicators, clock, redis, pipeline

    async def command(
        self, op: State, seconds: int = 0, *, why: Why = "", result: str = "ok", outcome: str = ""
    ) -> None:
        grant = await self.indicators.promise(
            KEY, op, seconds * 1000, owner="c", ticket=None, trace="", refresh=ONCE, why=why
        )
        assert isinstance(grant, Grant)
        await self.indicators.settle_command(grant, _report(result, outcome), seconds * 1000, why)

    async def wake(self, after_s: float, result: str = "ok", *, retry_ms: int | None = 300) -> Claim:
        self.clock.tick(round(after_s * 1000))
        (claim,) = await claim_due(self.indicators)
        await self.indicators.settle_wake(claim.grant, _report(result, "unavailable"), retry_ms=retry_ms)
        return claim

    async def noted(self, instance_id: str = KEY.instance_id) -> list[tuple[str, str]]:
        """The ends, the oldest first: what showed, and why it ended."""
        found = await RedisEnds(self.pipeline, history_s=HISTORY_S).of([instance_id])
        assert all(end.chat == KEY.chat.jid for end in found)
        return [(end.state, end.by) for end in reversed(found)]

    async def told(self) -> list[End]:
        """All that the chat was told, the oldest first."""
        found = await RedisEnds(self.pipeline, history_s=HISTORY_S).told([KEY.instance_id])
        return list(reversed(found))


def _report(result: str, outcome: str) -> Report:
    assert result in {"ok", "failed", "unknown"}
    return Report(result, ONCE, 0, 0, outcome)  # type: ignore[arg-type]


Make = Callable[[float], Scene]


@pytest.fixture
def make(everywhere: Redis, redis: Redis, pipeline: Pipeline, clock: VirtualClock) -> Make:
    def scene(history_s: float) -> Scene:
        indicators = RedisIndicators(
            pipeline,
            lease_s=5.5,
            echo_s=10,
            patience_s=2,
            history_s=history_s,
            monotonic=clock.monotonic,
            clock_us=clock.redis_us,
        )
        return Scene(indicators, clock, everywhere, pipeline)

    return scene


@pytest.fixture
def scene(make: Make) -> Scene:
    return make(HISTORY_S)


async def test_its_time_ends_it(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    assert await scene.noted() == []
    await scene.wake(5)
    assert await scene.noted() == [("typing", "time")]


async def test_a_pause_ends_it_and_a_second_one_ends_nothing(scene: Scene) -> None:
    await scene.command(State.RECORDING, 5)
    await scene.command(State.PAUSED)
    await scene.command(State.PAUSED)
    assert await scene.noted() == [("recording", "pause")]


async def test_a_message_ends_it(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.command(State.PAUSED, why="message")
    assert await scene.noted() == [("typing", "message")]


async def test_a_message_whose_pause_failed_ends_it_when_a_wake_up_goes_on(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.command(State.PAUSED, why="message", result="failed")
    assert await scene.noted() == []
    await scene.wake(0)
    assert await scene.noted() == [("typing", "message")]


async def test_its_natural_end_ends_it(scene: Scene) -> None:
    await scene.command(State.TYPING, 10, why="natural")
    await scene.wake(10)
    assert await scene.noted() == [("typing", "natural")]


async def test_another_state_replaces_it_and_the_same_goes_on(scene: Scene) -> None:
    await scene.command(State.TYPING, 30)
    await scene.command(State.TYPING, 5)
    assert await scene.noted() == []
    await scene.command(State.RECORDING, 5)
    assert await scene.noted() == [("typing", "replaced")]


async def test_a_failed_pause_notes_nothing_and_its_next_try_notes_it_once(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.command(State.PAUSED, result="failed")
    await scene.wake(5, "failed")
    assert await scene.noted() == []
    await scene.wake(1)
    assert await scene.noted() == [("typing", "time")]


async def test_a_pause_that_was_given_up_is_no_end_that_anybody_saw(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.wake(5, "failed", retry_ms=None)
    assert await scene.noted() == []


async def test_an_end_says_until_when_it_was_asked_and_when_it_was_last_sent(scene: Scene) -> None:
    began_s = scene.clock.redis_us() / 1_000_000
    await scene.command(State.TYPING, 30)
    scene.clock.tick(4000)
    await scene.command(State.PAUSED)
    (end,) = await scene.told()
    assert (end.since_s, end.asked_s, end.sent_s) == pytest.approx((began_s, began_s + 30, began_s), abs=0.01)
    assert (end.by, end.tries, end.is_sure) == ("pause", 0, True)


async def test_an_end_for_which_none_was_asked_says_so(scene: Scene) -> None:
    await scene.command(State.TYPING, 10, why="natural")
    await scene.command(State.PAUSED)
    (end,) = await scene.told()
    assert (end.by, end.asked_s) == ("pause", None)


async def test_a_late_pause_says_how_often_it_failed(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.wake(5, "failed")
    await scene.wake(1, "failed")
    await scene.wake(1)
    (end,) = await scene.told()
    assert (end.by, end.tries) == ("time", 2)


async def test_what_nobody_knows_to_have_shown_is_marked(scene: Scene) -> None:
    await scene.command(State.TYPING, 5, result="unknown")
    await scene.wake(0)
    (end,) = await scene.told()
    assert not end.is_sure


async def test_a_command_that_came_to_nothing_is_told_with_the_reason_and_is_no_end(scene: Scene) -> None:
    asked_s = scene.clock.redis_us() / 1_000_000
    await scene.command(State.TYPING, 5, result="failed", outcome="not_connected")
    assert await scene.noted() == []
    (failed,) = await scene.told()
    assert (failed.state, failed.by, failed.outcome) == ("typing", "failed", "not_connected")
    assert failed.since_s == pytest.approx(asked_s, abs=0.01)


async def test_what_failed_leaves_what_shows_and_hides_no_end(scene: Scene) -> None:
    await scene.command(State.TYPING, 30)
    await scene.command(State.RECORDING, 5, result="failed", outcome="unsupported")
    await scene.command(State.PAUSED)
    assert [(one.state, one.by) for one in await scene.told()] == [("recording", "failed"), ("typing", "pause")]
    for _ in range(120):
        await scene.command(State.TYPING, 5, result="failed")
    assert await scene.noted() == [("typing", "pause")]


async def test_a_pause_that_was_given_up_is_told(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.wake(5, "failed", retry_ms=None)
    (given_up,) = await scene.told()
    assert (given_up.state, given_up.by, given_up.outcome) == ("typing", "abandoned", "unavailable")


async def test_what_an_older_version_noted_is_read(scene: Scene) -> None:
    entry = {"chat": KEY.chat.jid, "state": "typing", "since": 0, "by": "time"}
    await scene.redis.xadd(keys.ends(KEY.instance_id), entry)  # type: ignore[arg-type]
    (end,) = await scene.told()
    assert (end.by, end.asked_s, end.sent_s, end.is_sure) == ("time", None, None, True)


async def test_an_echo_notes_nothing(scene: Scene) -> None:
    await scene.command(State.TYPING, 5, result="unknown")
    await scene.wake(0)
    assert await scene.noted() == [("typing", "time")]
    assert (await scene.wake(10)).is_echo
    assert await scene.noted() == [("typing", "time")]


async def test_another_instance_sees_nothing_of_it(scene: Scene) -> None:
    await scene.command(State.TYPING, 5)
    await scene.wake(5)
    assert await scene.noted("i2") == []


async def test_without_a_history_nothing_is_noted_and_nothing_read(make: Make) -> None:
    scene = make(0)
    await scene.command(State.TYPING, 5)
    await scene.command(State.RECORDING, 5)
    await scene.wake(5)
    assert await scene.redis.keys("pg:{??}:ends:*") == []
    await make(HISTORY_S).command(State.TYPING, 5)
    await make(HISTORY_S).command(State.PAUSED)
    assert await RedisEnds(scene.pipeline, history_s=0).of([KEY.instance_id]) == []


async def test_what_is_kept_is_bounded_in_number_and_in_time(scene: Scene) -> None:
    stream = keys.ends(KEY.instance_id)
    old_ms = round((time.time() - HISTORY_S - 1) * 1000)
    await scene.redis.xadd(stream, {"chat": KEY.chat.jid, "state": "typing", "since": 0, "by": "time"}, id=str(old_ms))
    assert await scene.noted() == []
    await scene.command(State.TYPING, 5)
    await scene.command(State.PAUSED)
    assert await scene.redis.xlen(stream) == 1, "what is older than the history goes with the next end"
    assert 0 < await scene.redis.pttl(stream) <= HISTORY_S * 1000
    for _ in range(200):
        await scene.command(State.TYPING, 5)
        await scene.command(State.RECORDING, 5)
    assert await scene.redis.xlen(stream) <= 300
    assert len(await scene.noted()) == 100


async def test_of_many_instances_the_newest_ends_come_first(scene: Scene) -> None:
    now_ms = round(time.time() * 1000)
    names = [f"n{number}" for number in range(250)]
    for number, name in enumerate(names):
        entry = ("chat", KEY.chat.jid, "state", "typing", "since", 0, "by", "time")
        await command(scene.redis, "XADD", keys.ends(name), str(now_ms - 1000 * (number * 37 % 250)), *entry)
    found = await RedisEnds(scene.pipeline, history_s=HISTORY_S).of(names)
    assert [end.ended_s for end in found] == [(now_ms - 1000 * ago) / 1000 for ago in range(100)]
