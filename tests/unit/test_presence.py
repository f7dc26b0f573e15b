"""The heart without I/O: what is promised before what is told, and what each outcome means to the caller."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pytest

from gateway.presence.calls import Calls
from gateway.presence.errors import (
    GatewayError,
    InstanceNotConnected,
    InvalidNumber,
    StateUnsupported,
    StoreUnavailable,
    UpstreamCredentialRefused,
    UpstreamRejected,
    UpstreamSilent,
    UpstreamUnavailable,
)
from gateway.presence.model import Chat, Instance, Outcome, State, Target
from gateway.presence.service import CommandResult, Presence
from gateway.presence.steps import (
    Busy,
    ChatKey,
    Claim,
    Grant,
    Look,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Unclear,
    Why,
)
from gateway.presence.wakeups import WakeUpResult, WakeUps

CHAT = Chat("5511999999999@s.whatsapp.net")
INSTANCE = Instance("i1", "a1", "demo", Target("sandbox", "http://phone", "demo"))
KEY = ChatKey("i1", CHAT)


@dataclass
class World:
    """Scripted collaborators that write down the order in which they were asked."""

    outcome: Outcome = Outcome.OK
    promises: list[Busy | Overtaken | Repeated | NothingShows | Unclear | Exception] = field(default_factory=list)
    settle_failures: int = 0
    wake_failures: int = 0
    instance_exists: bool = True
    lease_s: float = 5.5
    now_s: float = 0.0
    stalls_s: float = 0.0
    one_at_a_time: bool = False
    sent_ms_ago: int | None = None
    events: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def promise(
        self,
        key: ChatKey,
        op: State,
        duration_ms: int,
        *,
        owner: str,
        ticket: str | None,
        trace: str,
        refresh: RefreshPolicy,
        why: Why = "",
        ahead: bool = False,
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
        told = f"promise {op} {duration_ms} ticket={ticket}{why and f' for {why}'}"
        self.events.append(told + " ahead" * ahead)
        self.owners.append(owner)
        if self.promises:
            answer = self.promises.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        grant = Grant(key, owner, op, self.now_s + self.lease_s, self.sent_ms_ago)
        self.now_s += self.stalls_s
        return grant

    async def settle_command(self, grant: Grant, report: Report, duration_ms: int, why: Why = "") -> Settled:
        if self.settle_failures:
            self.settle_failures -= 1
            raise StoreUnavailable
        told = "" if report.sent_ms_ago is not None else " untold"
        self.events.append(f"settle {report.result} {duration_ms} age={report.answered_ms_ago}{told}")
        return Settled(lost_lease=False, late_ms=None)

    async def settle_wake(self, grant: Grant, report: Report, *, retry_ms: int | None) -> Settled:
        if self.wake_failures:
            self.wake_failures -= 1
            raise StoreUnavailable
        self.events.append(f"settle {report.result} retry={retry_ms}")
        return Settled(lost_lease=False, late_ms=7 if report.result == "ok" and grant.op is State.PAUSED else None)

    async def look(self, partition: int, *, ahead_ms: int) -> Look:
        raise AssertionError

    async def claim(self, chats: Sequence[ChatKey], *, owner: str) -> list[Claim | int | None]:
        raise AssertionError

    async def in_use(self, partitions: Collection[int]) -> Collection[int]:
        raise AssertionError

    async def servers(self) -> list[str]:
        raise AssertionError

    @staticmethod
    def partition(key: ChatKey) -> int:
        raise AssertionError(key)

    async def replay(
        self, key: ChatKey, op: State, left_ms: int | None, *, ticket: str, refresh: RefreshPolicy
    ) -> bool:
        return False

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        self.events.append(f"tell {state} within {timeout_s:g}")
        return self.outcome

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        return RefreshPolicy(4.0, 5.0, one_at_a_time=self.one_at_a_time)

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        return Outcome.UNSUPPORTED

    async def latest_change(self) -> str:
        raise AssertionError

    async def keeper(self, chats_id: str, change: str | None) -> Instance | None:
        self.events.append(f"keeper as of {change}")
        return INSTANCE if self.instance_exists else None

    async def account_of(self, chats_id: str) -> str:
        raise AssertionError

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def calls(self) -> Calls:
        return Calls(self, timeout_s=4.5, monotonic=lambda: self.now_s)

    def presence(self) -> Presence:
        return Presence(self, self.calls(), monotonic=lambda: self.now_s, sleep=self.sleep)

    def wakeups(self) -> WakeUps:
        return WakeUps(
            self,
            self.calls(),
            self,
            give_up_s=600,
            monotonic=lambda: self.now_s,
            sleep=self.sleep,
            jitter=lambda: 1.0,
        )


def claim_of(op: State, *, tries: int = 0, overdue_ms: int = 3, is_echo: bool = False) -> Claim:
    grant = Grant(KEY, "me", op, 5.5)
    return Claim(grant, overdue_ms=overdue_ms, tries=tries, is_echo=is_echo, trace="", why="")


async def wake(world: World, claim: Claim) -> WakeUpResult:
    """Perform one wake-up."""
    return await world.wakeups().perform(claim, "9")


async def shown(world: World, state: State = State.TYPING, seconds: int = 5) -> CommandResult:
    """Obey one command, and let what comes behind its answer end."""
    presence = world.presence()
    try:
        return await presence.show(INSTANCE, CHAT, state, seconds)
    finally:
        await presence.drain()


async def test_the_promise_is_made_before_the_upstream_is_told_and_settled_after() -> None:
    world = World()
    assert await shown(world) == CommandResult("shown")
    assert world.events == ["promise typing 5000 ticket=None", "tell typing within 4.5", "settle ok 5000 age=0"]


@pytest.mark.parametrize(
    ("outcome", "error", "settled"),
    [
        (Outcome.REJECTED, UpstreamRejected, "failed"),
        (Outcome.UNAUTHORIZED, UpstreamCredentialRefused, "failed"),
        (Outcome.GARBLED, UpstreamRejected, "unknown"),
        (Outcome.NOT_CONNECTED, InstanceNotConnected, "failed"),
        (Outcome.UNKNOWN_NUMBER, InvalidNumber, "failed"),
        (Outcome.DOUBTED_NUMBER, InvalidNumber, "unknown"),
        (Outcome.UNSUPPORTED, StateUnsupported, "failed"),
        (Outcome.UNAVAILABLE, UpstreamUnavailable, "failed"),
        (Outcome.UNKNOWN, UpstreamSilent, "unknown"),
        (Outcome.NOT_READY, InstanceNotConnected, "unknown"),
    ],
)
async def test_each_outcome_is_settled_before_its_error_is_raised(
    outcome: Outcome, error: type[GatewayError], settled: str
) -> None:
    world = World(outcome=outcome)
    with pytest.raises(error):
        await shown(world, State.RECORDING)
    assert world.events[-1] == f"settle {settled} 5000 age=0"


async def test_the_unsupported_error_names_the_state_as_the_caller_wrote_it() -> None:
    with pytest.raises(StateUnsupported, match=r"^Presence 'paused' is not supported by this instance's upstream$"):
        await World(outcome=Outcome.UNSUPPORTED).presence().show(INSTANCE, CHAT, State.PAUSED, 0, asked="paused")


@pytest.mark.parametrize(("sent_ago_s", "ticket"), [(0.0, "None"), (3.5, "-3500000"), (600.0, "-600000000")])
async def test_a_message_ends_what_shows_as_of_when_it_was_sent(sent_ago_s: float, ticket: str) -> None:
    world = World()
    await world.presence().message_sent(INSTANCE, CHAT, sent_ago_s=sent_ago_s)
    assert world.events[0] == f"promise paused 0 ticket={ticket} for message"


async def test_a_message_of_before_redis_was_away_keeps_its_age() -> None:
    world = World(promises=[StoreUnavailable()])
    presence = world.presence()
    await presence.message_sent(INSTANCE, CHAT, sent_ago_s=600.0)
    await presence.drain()
    late = [event for event in world.events if event.startswith("promise")][-1]
    assert 600_000_000 <= int(late.removeprefix("promise paused 0 ticket=-").removesuffix(" for message")) < 602_000_000


async def test_a_command_waits_for_the_lease_with_its_ticket_and_one_owner() -> None:
    world = World(promises=[Busy("17", 900), Busy("17", 890)])
    await shown(world)
    assert world.events[:3] == [
        "promise typing 5000 ticket=None",
        "promise typing 5000 ticket=17",
        "promise typing 5000 ticket=17",
    ]
    assert len(set(world.owners)) == 1
    assert world.slept == [0.005, 0.01]


async def test_an_overtaken_command_tells_the_upstream_nothing() -> None:
    world = World(promises=[Busy("17", 900), Overtaken()])
    assert await shown(world) == CommandResult("overtaken")
    assert not [event for event in world.events if event.startswith("tell")]


async def test_a_command_that_found_the_chat_busy_waits_on_under_its_name() -> None:
    world = World(promises=[Busy("17", 900)])
    await shown(world)
    assert world.events[:2] == ["promise typing 5000 ticket=None", "promise typing 5000 ticket=17"]
    assert len(set(world.owners)) == 1


async def test_of_more_steps_than_are_kept_the_oldest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.presence.retries.MOST", 3)
    world = World(promises=[StoreUnavailable()] * 5)
    presence = world.presence()
    for seconds in range(1, 6):
        with pytest.raises(StoreUnavailable):
            await presence.show(INSTANCE, CHAT, State.TYPING, seconds)
    await presence.drain()
    settled = [event.partition(" age")[0] for event in world.events if event.startswith("settle")]
    assert settled == [f"settle failed {seconds}000" for seconds in (3, 4, 5)]


async def test_without_a_promise_the_upstream_is_told_nothing() -> None:
    world = World(promises=[StoreUnavailable()])
    with pytest.raises(StoreUnavailable):
        await shown(world)
    assert not [event for event in world.events if event.startswith("tell")]


async def test_a_promise_that_was_refused_is_rolled_back_when_redis_answers() -> None:
    world = World(promises=[StoreUnavailable()])
    presence = world.presence()
    with pytest.raises(StoreUnavailable):
        await presence.show(INSTANCE, CHAT, State.TYPING, 5)
    await presence.drain()
    assert world.events[-1] == "settle failed 5000 age=0"


async def test_a_pause_that_was_told_without_redis_is_recorded_when_it_is_back() -> None:
    world = World()
    presence = world.presence()
    await presence.pause_unpromised(INSTANCE, CHAT)
    await presence.drain()
    assert world.events == ["tell paused within 4.5", "promise paused 0 ticket=-100001", "settle unknown 0 age=0"]


async def test_a_wake_up_insists_while_redis_is_away() -> None:
    world = World(wake_failures=3)
    claim = claim_of(State.PAUSED)
    assert (await wake(world, claim)).did == "paused"
    assert world.slept == [0.1, 0.1, 0.1]


async def test_a_process_stopped_until_its_lease_is_nearly_spent_does_not_call() -> None:
    world = World(stalls_s=5.2)
    with pytest.raises(UpstreamUnavailable):
        await shown(world)
    assert world.events[1:] == ["settle failed 5000 age=0"]


async def test_a_call_never_outlives_its_lease() -> None:
    world = World(stalls_s=3.0)
    await shown(world)
    assert "tell typing within 2.5" in world.events


async def test_an_acted_command_stands_while_redis_is_away_and_is_settled_when_it_is_back() -> None:
    world = World(settle_failures=3)
    presence = world.presence()
    assert await presence.show(INSTANCE, CHAT, State.TYPING, 5) == CommandResult("shown")
    await presence.drain()
    # The duration counts from the answer, however late it is recorded.
    assert world.events[-1] == "settle ok 5000 age=300"


async def test_a_due_pause_is_told_and_its_lateness_returned() -> None:
    world = World()
    claim = claim_of(State.PAUSED)
    assert await wake(world, claim) == WakeUpResult("paused", "due", Outcome.OK, late_ms=7, ended="time")
    assert world.events == ["keeper as of 9", "tell paused within 4.5", "settle ok retry=None"]


async def test_a_refresh_tells_the_state_again() -> None:
    world = World()
    claim = claim_of(State.TYPING)
    assert (await wake(world, claim)).did == "refreshed"
    assert world.events[1:] == ["tell typing within 4.5", "settle ok retry=None"]


@pytest.mark.parametrize(("tries", "retry_ms"), [(0, 300), (1, 600), (2, 1200), (3, 2400), (4, 5000), (50, 5000)])
async def test_a_failed_pause_backs_off(tries: int, retry_ms: int) -> None:
    world = World(outcome=Outcome.REJECTED)
    claim = claim_of(State.PAUSED, tries=tries)
    assert (await wake(world, claim)).did == "pause_failed"
    assert world.events[-1] == f"settle failed retry={retry_ms}"


async def test_a_pause_is_over_where_only_its_number_is_doubted() -> None:
    world = World(outcome=Outcome.DOUBTED_NUMBER)
    claim = claim_of(State.PAUSED)
    assert await wake(world, claim) == WakeUpResult("paused", "due", Outcome.DOUBTED_NUMBER, late_ms=7, ended="time")
    assert world.events[-1] == "settle ok retry=None"


async def test_a_pause_waits_longer_while_the_session_is_down() -> None:
    world = World(outcome=Outcome.NOT_CONNECTED)
    claim = claim_of(State.PAUSED)
    await wake(world, claim)
    assert world.events[-1] == "settle failed retry=5000"


async def test_a_pause_is_abandoned_loudly_after_its_time() -> None:
    world = World(outcome=Outcome.REJECTED)
    claim = claim_of(State.PAUSED, overdue_ms=600_000)
    assert (await wake(world, claim)).did == "abandoned"
    assert world.events[-1] == "settle failed retry=None"


async def test_a_wake_up_for_a_vanished_instance_closes_the_record() -> None:
    world = World(instance_exists=False)
    claim = claim_of(State.PAUSED)
    assert (await wake(world, claim)).did == "abandoned"


async def test_an_echo_says_so() -> None:
    world = World()
    claim = claim_of(State.PAUSED, is_echo=True)
    assert (await wake(world, claim)).trigger == "echo"


@pytest.mark.parametrize(
    ("op", "sent_ms_ago", "is_told"),
    [(State.TYPING, 3999, False), (State.TYPING, 4000, True), (State.TYPING, None, True), (State.PAUSED, 10, True)],
)
async def test_an_upstream_that_blocks_never_gets_a_second_call_before_the_first_has_ended(
    op: State, sent_ms_ago: int | None, is_told: bool
) -> None:
    world = World(one_at_a_time=True, sent_ms_ago=sent_ms_ago)
    await shown(world, op)
    assert [event.startswith("tell") for event in world.events[1:]] == ([True, False] if is_told else [False])
    assert world.events[-1].endswith("untold") is not is_told


async def test_the_answer_does_not_wait_for_the_settlement() -> None:
    world = World(settle_failures=1)
    presence = world.presence()
    assert await presence.show(INSTANCE, CHAT, State.TYPING, 5) == CommandResult("shown")
    assert world.events == ["promise typing 5000 ticket=None", "tell typing within 4.5"]
    await presence.drain()
    assert world.events[-1] == "settle ok 5000 age=100"


async def test_a_promise_that_was_made_ahead_is_used_by_the_command() -> None:
    world = World()
    presence = world.presence()
    ahead = await presence.promise_ahead(INSTANCE, CHAT, State.TYPING, 5)
    assert await presence.show(INSTANCE, CHAT, State.TYPING, 5, ahead=ahead) == CommandResult("shown")
    await presence.withdraw(ahead)
    await presence.drain()
    assert world.events == ["promise typing 5000 ticket=None ahead", "tell typing within 4.5", "settle ok 5000 age=0"]


async def test_a_promise_that_was_made_ahead_in_vain_is_rolled_back() -> None:
    world = World()
    presence = world.presence()
    await presence.withdraw(await presence.promise_ahead(INSTANCE, CHAT, State.TYPING, 5))
    await presence.drain()
    assert world.events == ["promise typing 5000 ticket=None ahead", "settle failed 5000 age=0"]


async def test_what_is_unclear_is_not_promised_ahead() -> None:
    world = World(promises=[Unclear()])
    presence = world.presence()
    assert await presence.promise_ahead(INSTANCE, CHAT, State.TYPING, 5) is None
    await presence.drain()
    assert world.events == ["promise typing 5000 ticket=None ahead"]


async def test_a_promise_made_ahead_whose_reply_was_lost_is_rolled_back() -> None:
    world = World(promises=[StoreUnavailable()])
    presence = world.presence()
    assert await presence.promise_ahead(INSTANCE, CHAT, State.TYPING, 5) is None
    await presence.drain()
    assert world.events[-1] == "settle failed 5000 age=0"
