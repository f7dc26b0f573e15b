"""One contract over every upstream: what is shown, what each error means, and what no upstream can do to us."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest
from fakes import FAKES
from fakes.base import ONE_OF_EACH, PERSON, ConnectionRow, ErrorRow, FakeUpstream, scaled
from fakes.evolution import SLICE_MS, FakeEvolution
from fakes.gowa import FakeGowa
from fakes.misbehaviour import LOUD, READS_AS_SUCCESS, SILENT, bomb, flood, hang
from fakes.quepasa import FakeQuepasa
from fakes.uazapi import FakeUazapi
from fakes.wppconnect import FakeWppconnect
from fakes.wuzapi import FakeWuzapi

from gateway.presence.model import MAX_DURATION_S, Chat, Outcome, State
from gateway.upstreams.base import Connection
from gateway.upstreams.client import UpstreamClient
from gateway.upstreams.registry import ADAPTERS

Fake = type[FakeUpstream]

QUICK_S = 1.5
"""After this a widely used caller gives up."""
SLACK_S = 4.0
"""What a loaded machine may add to a timeout; an upstream that is waited for without end takes far longer."""
FAST_CLOCK = 0.001

every_fake = pytest.mark.parametrize("fake_of", FAKES, ids=[fake.name() for fake in FAKES])
either_state = pytest.mark.parametrize("state", [State.TYPING, State.PAUSED])

ADDRESSES = [
    *ONE_OF_EACH.values(),
    # Ids that could be taken for the other kind's, by their length alone.
    Chat("12345678901234@lid"),
    Chat("551199999999999@s.whatsapp.net"),
    Chat("5511999999999-1600000000@g.us"),
    Chat("12345678901@newsletter"),
]
SHOWABLE = [
    pytest.param(fake, chat, state, id=f"{fake.name()}-{chat.server}-{state}")
    for fake in FAKES
    for chat in ONE_OF_EACH.values()
    if chat.kind in fake.CHATS
    for state in (State.TYPING, State.RECORDING)
    if state is State.TYPING or fake.RECORDING
]
ERRORS = [
    pytest.param(fake, row, state, id=f"{fake.name()}-{row.name}-{state}")
    for fake in FAKES
    for row in fake.ERROR_ROWS
    for state in row.states
]
CONNECTIONS = [
    pytest.param(fake, row, id=f"{fake.name()}-{row.name}") for fake in FAKES for row in fake.CONNECTION_ROWS
]


async def eventually(holds: Callable[[], bool], within_s: float = 2.0) -> None:
    """Wait for what the upstream does after, or before, it answers."""
    for _ in range(round(within_s / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: it connects, and who blocks is not taken to show before the refusal has come."""
    monkeypatch.setattr("gateway.upstreams.client._EARLY_S", SLACK_S)
    monkeypatch.setattr("gateway.upstreams.http._limits", lambda timeout_s: aiohttp.ClientTimeout(total=timeout_s))


def states_of(fake: FakeUpstream) -> list[State]:
    return [told.state for told in fake.shown]


def test_every_upstream_has_a_fake() -> None:
    assert {fake.KIND for fake in FAKES} | {"sandbox"} == set(ADAPTERS)


@every_fake
def test_the_adapter_declares_what_its_upstream_can(fake_of: Fake) -> None:
    capabilities = ADAPTERS[fake_of.KIND].capabilities
    assert (capabilities.recording, capabilities.blocks) == (fake_of.RECORDING, fake_of.BLOCKS)
    assert capabilities.chats == fake_of.CHATS


@pytest.mark.parametrize(("fake_of", "chat", "state"), SHOWABLE)
async def test_an_indicator_is_shown_once_on_its_chat(
    upstreams: UpstreamClient, fake_of: Fake, chat: Chat, state: State
) -> None:
    async with fake_of() as fake:
        telling = asyncio.create_task(upstreams.send(fake.target(), chat, state, timeout_s=5))
        async with within(QUICK_S):
            await eventually(lambda: bool(fake.shown))
        await asyncio.sleep(0.1)
        assert fake.seen() == [(fake.SESSION, chat.jid, state)]
        assert await telling is Outcome.OK


@pytest.mark.parametrize(("fake_of", "chat", "state"), SHOWABLE)
async def test_a_pause_ends_the_indicator_at_once(
    upstreams: UpstreamClient, fake_of: Fake, chat: Chat, state: State
) -> None:
    async with fake_of() as fake:
        telling = asyncio.create_task(upstreams.send(fake.target(), chat, state, timeout_s=5))
        await eventually(lambda: bool(fake.shown))
        async with within(QUICK_S):
            assert await upstreams.send(fake.target(), chat, State.PAUSED, timeout_s=5) is Outcome.OK
        await asyncio.sleep(0.1)
        assert fake.seen() == [
            (fake.SESSION, chat.jid, state),
            *[(fake.SESSION, chat.jid, State.PAUSED)] * fake.PAUSES_SHOWN,
        ]
        assert await telling is Outcome.OK


@every_fake
@either_state
async def test_a_healthy_upstream_answers_in_time(upstreams: UpstreamClient, fake_of: Fake, state: State) -> None:
    async with fake_of() as fake, within(QUICK_S):
        assert await upstreams.send(fake.target(), PERSON, state, timeout_s=5) is Outcome.OK


@every_fake
async def test_an_upstreams_own_timer_does_not_end_the_indicator_before_we_refresh_it(
    upstreams: UpstreamClient, fake_of: Fake
) -> None:
    clock = 0.05
    async with fake_of(sleep=scaled(clock)) as fake:
        target = fake.target()
        assert await upstreams.send(target, PERSON, State.TYPING, timeout_s=5) is Outcome.OK
        await eventually(lambda: bool(fake.shown))
        ends = fake.shown[0].at + upstreams.refresh_policy(target).refresh_s * clock * 0.9
        await eventually(lambda: asyncio.get_running_loop().time() > ends)
        assert [told for told in fake.shown if told.state is State.PAUSED and told.at < ends] == []


@pytest.mark.parametrize("fake_of", [FakeUazapi, FakeQuepasa])
async def test_an_upstreams_own_timer_is_a_second_net_of_a_minute_at_most(
    upstreams: UpstreamClient, fake_of: Fake
) -> None:
    clock = 0.005
    async with fake_of(sleep=scaled(clock)) as fake:
        assert await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=5) is Outcome.OK
        await asyncio.sleep(MAX_DURATION_S * clock)
        await eventually(lambda: states_of(fake)[-1] is State.PAUSED, within_s=SLACK_S)
        assert states_of(fake)[-1] is State.PAUSED


@every_fake
async def test_a_state_that_the_upstream_lacks_is_unsupported_without_a_call(
    upstreams: UpstreamClient, fake_of: Fake
) -> None:
    async with fake_of() as fake:
        outcome = await upstreams.send(fake.target(), PERSON, State.RECORDING, timeout_s=5)
        assert (outcome is Outcome.UNSUPPORTED, fake.requests == []) == (not fake.RECORDING, not fake.RECORDING)


@every_fake
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("chat", ADDRESSES, ids=[chat.jid for chat in ADDRESSES])
async def test_an_indicator_reaches_its_very_chat_or_is_refused_without_a_call(
    upstreams: UpstreamClient, fake_of: Fake, chat: Chat, state: State
) -> None:
    async with fake_of(sleep=scaled(FAST_CLOCK)) as fake:
        outcome = await upstreams.send(fake.target(), chat, state, timeout_s=5)
        if outcome is Outcome.UNSUPPORTED:
            assert fake.requests == []
            return
        assert outcome is Outcome.OK
        await eventually(lambda: bool(fake.shown) or state is State.PAUSED)
        assert {told.chat for told in fake.shown} <= {chat.jid}


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("fake_of", "row", "state"), ERRORS)
async def test_an_error_is_read_as_its_outcome(
    upstreams: UpstreamClient, fake_of: Fake, row: ErrorRow, state: State
) -> None:
    async with fake_of(sleep=asyncio.sleep if row.real_time else scaled(FAST_CLOCK)) as fake:
        target = fake.arrange(row)
        async with within(row.timeout_s + SLACK_S):
            outcome = await upstreams.send(target, row.chat, state, timeout_s=row.timeout_s)
        assert outcome in row.outcomes
        assert row.status in [asked.status for asked in fake.requests]
        assert bool(fake.shown) == row.acts


@pytest.mark.usefixtures("patience")
@every_fake
@either_state
async def test_a_wrong_credential_is_the_operators_fault(
    upstreams: UpstreamClient, fake_of: Fake, state: State
) -> None:
    async with fake_of() as fake:
        outcome = await upstreams.send(fake.target(credential="wrong"), PERSON, state, timeout_s=5)
        assert outcome in fake.WRONG_CREDENTIAL
        assert fake.shown == []


@every_fake
async def test_an_upstream_that_recovers_is_used_again(upstreams: UpstreamClient, fake_of: Fake) -> None:
    async with fake_of() as fake:
        fake.misbehaviour = LOUD["bad-gateway-page"]
        await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=5)
        fake.misbehaviour = None
        assert await upstreams.send(fake.target(), PERSON, State.PAUSED, timeout_s=5) is Outcome.OK
        assert set(states_of(fake)) <= {State.PAUSED}


@pytest.mark.usefixtures("patience")
@every_fake
@either_state
@pytest.mark.parametrize("name", LOUD)
async def test_nonsense_is_an_outcome_and_never_an_exception(
    upstreams: UpstreamClient, fake_of: Fake, state: State, name: str
) -> None:
    async with fake_of() as fake:
        fake.misbehaviour = LOUD[name]
        async with within(2 + SLACK_S):
            outcome = await upstreams.send(fake.target(), PERSON, state, timeout_s=2)
        assert isinstance(outcome, Outcome)
        assert outcome is not Outcome.OK or READS_AS_SUCCESS(name)


@pytest.mark.usefixtures("patience")
@every_fake
@either_state
@pytest.mark.parametrize("name", ["reset", "close", "cut", "not-http", "page", "page-as-json", "invalid-json"])
async def test_a_call_whose_answer_was_lost_may_have_been_obeyed(
    upstreams: UpstreamClient, fake_of: Fake, state: State, name: str
) -> None:
    async with fake_of() as fake:
        fake.presence_only = True
        fake.misbehaviour = LOUD[name]
        outcome = await upstreams.send(fake.target(), PERSON, state, timeout_s=2)
        assert outcome.settled == "unknown"


@every_fake
@pytest.mark.parametrize("name", ["redirect-302", "redirect-307"])
async def test_a_redirect_is_not_followed(upstreams: UpstreamClient, fake_of: Fake, name: str) -> None:
    async with fake_of() as fake:
        fake.misbehaviour = LOUD[name]
        await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=2)
        await upstreams.connection(fake.target())
        assert [asked.path for asked in fake.requests if asked.path == "/elsewhere"] == []
        assert fake.requests != []


@every_fake
@pytest.mark.parametrize("misbehaviour", [flood, bomb], ids=["flood", "bomb"])
async def test_ten_megabytes_are_not_kept(
    upstreams: UpstreamClient, fake_of: Fake, misbehaviour: Callable[..., Awaitable[object]]
) -> None:
    async with fake_of() as fake:
        fake.misbehaviour = LOUD[misbehaviour.__name__]
        tracemalloc.start()
        try:
            await upstreams.send(fake.target(), PERSON, State.PAUSED, timeout_s=5)
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()


@every_fake
@either_state
@pytest.mark.parametrize("name", SILENT)
async def test_silence_ends_in_time_and_is_unknown(
    upstreams: UpstreamClient, fake_of: Fake, state: State, name: str
) -> None:
    async with fake_of() as fake:
        fake.presence_only = True
        fake.misbehaviour = SILENT[name]
        async with within(0.2 + SLACK_S):
            outcome = await upstreams.send(fake.target(), PERSON, state, timeout_s=0.2)
        # An upstream that blocks is silent while all is well.
        assert outcome.settled == "unknown" or (fake.BLOCKS and state is not State.PAUSED)


@pytest.mark.usefixtures("patience")
@every_fake
async def test_an_upstream_that_is_not_there_was_told_nothing(upstreams: UpstreamClient, fake_of: Fake) -> None:
    async with fake_of() as fake:
        target = fake.target()
    for state in (State.TYPING, State.PAUSED):
        assert await upstreams.send(target, PERSON, state, timeout_s=5) is Outcome.UNAVAILABLE
    assert await upstreams.connection(target) is Connection.UNKNOWN


@pytest.mark.parametrize(("fake_of", "row"), CONNECTIONS)
async def test_the_session_state_is_read_right(upstreams: UpstreamClient, fake_of: Fake, row: ConnectionRow) -> None:
    async with fake_of(sleep=scaled(FAST_CLOCK)) as fake:
        assert await upstreams.connection(fake.arrange_connection(row)) in row.expected
        assert fake.shown == []


@every_fake
@pytest.mark.parametrize("name", [*LOUD, *SILENT])
async def test_nonsense_about_a_session_is_not_connected(upstreams: UpstreamClient, fake_of: Fake, name: str) -> None:
    async with fake_of() as fake:
        fake.misbehaviour = LOUD.get(name) or SILENT[name]
        async with within(0.2 + SLACK_S):
            connection = await upstreams.connection(fake.target(), timeout_s=0.2)
        assert connection is not Connection.CONNECTED


@every_fake
async def test_a_wrong_credential_says_nothing_about_the_session(upstreams: UpstreamClient, fake_of: Fake) -> None:
    async with fake_of() as fake:
        assert await upstreams.connection(fake.target(credential="wrong")) is not Connection.CONNECTED


async def test_one_upstream_that_hangs_does_not_slow_another(upstreams: UpstreamClient) -> None:
    async with FakeWuzapi() as hanging, FakeGowa() as healthy:
        hanging.misbehaviour = hang
        calls = [
            asyncio.create_task(upstreams.send(hanging.target(), PERSON, State.TYPING, timeout_s=10))
            for _ in range(400)
        ]
        await eventually(lambda: len(hanging.requests) >= 100)
        took = []
        for _ in range(100):
            start = time.monotonic()
            assert await upstreams.send(healthy.target(), PERSON, State.TYPING, timeout_s=3) is Outcome.OK
            took.append(time.monotonic() - start)
        # Those that got one of the origin's 256 connections still hold it; the others have given up waiting by now.
        assert sum(not call.done() for call in calls) >= 256
        assert sorted(took)[98] < 1.0, "a call waited for one that hangs"
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {one for one in outcomes if isinstance(one, Outcome)} <= {Outcome.UNAVAILABLE}


# What only one upstream does.


async def test_gowa_is_made_available_before_its_first_typing(upstreams: UpstreamClient) -> None:
    async with FakeGowa() as fake:
        await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=5)
        assert fake.available == {fake.SESSION}
        assert [asked.path for asked in fake.requests] == ["/send/presence", "/send/chat-presence"]


async def test_gowa_behind_a_base_path_and_without_basic_auth(upstreams: UpstreamClient) -> None:
    async with FakeGowa(base_path="/gowa") as fake:
        fake.credentials = {}
        assert await upstreams.send(fake.target(credential=""), PERSON, State.TYPING, timeout_s=5) is Outcome.OK
        assert states_of(fake) == [State.TYPING]


async def test_gowa_with_two_devices_shows_on_the_one_that_is_named(upstreams: UpstreamClient) -> None:
    async with FakeGowa() as fake:
        fake.sessions = {"other": "connected", fake.SESSION: "connected"}
        assert await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=5) is Outcome.OK
        assert fake.seen() == [(fake.SESSION, PERSON.jid, State.TYPING)]


@pytest.mark.parametrize("fake_of", [FakeEvolution, FakeWppconnect])
async def test_a_session_of_any_name_is_one_part_of_the_path(upstreams: UpstreamClient, fake_of: Fake) -> None:
    name = "Loja São/1 #2?%"
    async with fake_of() as fake:
        fake.sessions = {name: fake.UP}
        fake.credentials = {fake.CREDENTIAL: name}
        assert await upstreams.send(fake.target(session=name), PERSON, State.PAUSED, timeout_s=5) is Outcome.OK
        assert fake.seen() == [(name, PERSON.jid, State.PAUSED)] * fake.PAUSES_SHOWN


async def test_evolution_never_gets_a_delay_that_outlives_a_stop(upstreams: UpstreamClient) -> None:
    async with FakeEvolution() as fake:
        for state in (State.TYPING, State.RECORDING, State.PAUSED):
            await upstreams.send(fake.target(), PERSON, state, timeout_s=60)
        await eventually(lambda: len(fake.requests) == 3)
        delays = {asked.json["presence"]: asked.json["delay"] for asked in fake.requests}
        assert delays["paused"] == 0
        assert 0 < delays["composing"] <= SLICE_MS
        assert 0 < delays["recording"] <= SLICE_MS


async def test_evolution_answers_at_once_while_its_socket_is_silent(upstreams: UpstreamClient) -> None:
    async with FakeEvolution() as fake:
        fake.sessions[fake.SESSION] = "connecting"
        async with within(QUICK_S):
            await upstreams.send(fake.target(), PERSON, State.TYPING, timeout_s=5)


async def test_evolution_held_is_never_dark_and_stays_off_after_its_pause(upstreams: UpstreamClient) -> None:
    async with FakeEvolution() as fake:
        target, now = fake.target(), asyncio.get_running_loop().time
        refresh_s, start = upstreams.refresh_policy(target).refresh_s, now()
        for n in range(2):
            await asyncio.sleep(start + n * refresh_s - now())
            assert await upstreams.send(target, PERSON, State.TYPING, timeout_s=refresh_s + 5) is Outcome.OK
        await asyncio.sleep(start + 2 * refresh_s - now())
        last = asyncio.create_task(upstreams.send(target, PERSON, State.TYPING, timeout_s=refresh_s + 5))
        await asyncio.sleep(1)
        stopped = now()
        held = [told for told in fake.shown if told.at < stopped]
        dark_s = sum(later.at - told.at for told, later in pairwise(held) if told.state is State.PAUSED)
        assert dark_s < 0.5
        assert held[-1].state is State.TYPING
        assert await upstreams.send(target, PERSON, State.PAUSED, timeout_s=5) is Outcome.OK
        await asyncio.gather(last, asyncio.sleep(refresh_s + 1))
        assert {told.state for told in fake.shown if told.at >= stopped} == {State.PAUSED}
