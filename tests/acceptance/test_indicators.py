"""What a phone shows, second by second: indicators that are held, replaced, cancelled, and always end.

All stories run at the same time, each on a chat of its own, and are told once; each test then reads one of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from acceptance.answers import Answer
from acceptance.caller import CLOCK_S, NOISE_S, UPSTREAM_TIMEOUT_S, Call, Client, jid, new_number
from installation import Installation
from operated import Tenant

END_S = 20.0  # every story is over by then, echoes of an unknown outcome included
ECHO_S = 10.0
NATURAL_END_S = 10.0
DARK_S = 5.0  # the phone drops an indicator that was not sent again for so long


@dataclass
class Story:
    """One chat's timeline: what was asked, what was answered, what the phone was told."""

    name: str
    client: Client
    tenant: Tenant
    stranger: Tenant | None = None
    number: str = field(default_factory=new_number)
    began: float = field(default_factory=time.monotonic)
    answers: list[Answer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    failure: BaseException | None = None

    @property
    def states(self) -> list[str]:
        return [call.state for call in self.calls]

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    def shown(self, state: str) -> list[Call]:
        return [call for call in self.calls if call.state == state]

    @property
    def pause(self) -> Call:
        """The one and only pause."""
        assert self.states.count("paused") == 1, self.states
        return self.shown("paused")[0]

    async def at(self, seconds: float) -> None:
        """Go on at this moment of the story."""
        await asyncio.sleep(max(0.0, self.began + seconds - time.monotonic()))

    async def say(self, state: str, duration: int | None = None, *, number: str | None = None) -> Answer:
        self.asked_at.append(time.time())
        answer = await self.client.show(self.tenant, number or self.number, state, duration)
        self.answers.append(answer)
        self.answered_at.append(time.time())
        return answer

    def told_by_another(self) -> "Story":
        """The same chat and moment, told by another tenant."""
        assert self.stranger is not None
        return Story(self.name, self.client, self.stranger, number=self.number, began=self.began, answers=self.answers)


Plot = Callable[[Story], Awaitable[None]]
PLOTS: dict[str, Plot] = {}


def plot(tell: Plot) -> Plot:
    PLOTS[getattr(tell, "__name__", "")] = tell
    return tell


def assert_paused_on_time(pause: Call, shown: Call, duration: float, late: float = 0.0) -> None:
    """Never early; late by no more than the fault allows, and noise."""
    assert duration - CLOCK_S <= pause.at - shown.at <= duration + late + NOISE_S


# The plots


@plot
async def one_typing(story: Story) -> None:
    await story.say("typing", 2)


@plot
async def one_recording(story: Story) -> None:
    await story.say("recording", 2)


@plot
async def no_duration(story: Story) -> None:
    await story.say("typing")
    await story.at(NATURAL_END_S)


@plot
async def longer_replaces(story: Story) -> None:
    await story.say("typing", 3)
    await story.at(1)
    await story.say("typing", 5)


@plot
async def shorter_replaces(story: Story) -> None:
    await story.say("typing", 8)
    await story.at(1)
    await story.say("typing", 2)


@plot
async def recording_replaces_typing(story: Story) -> None:
    await story.say("typing", 2)
    await story.at(1)
    await story.say("recording", 3)


@plot
async def pause_cancels(story: Story) -> None:
    await story.say("typing", 3)
    await story.at(0.5)
    await story.say("pause")


@plot
async def alias_cancels(story: Story) -> None:
    await story.say("recording", 6)
    await story.at(0.5)
    await story.say("PAUSED")


@plot
async def pause_with_a_duration_cancels(story: Story) -> None:
    await story.say("typing", 3)
    await story.at(0.5)
    await story.say("pause", 2)


@plot
async def no_duration_cancels(story: Story) -> None:
    await story.say("typing", 2)
    await story.at(0.5)
    await story.say("typing")


@plot
async def another_spelling_cancels(story: Story) -> None:
    await story.say("typing", 3, number=f"+{story.number[:2]} ({story.number[2:4]}) {story.number[4:]}")
    await story.at(0.5)
    await story.say("pause", number=f"{story.number}:7@c.us")


@plot
async def held(story: Story) -> None:
    await story.say("typing", 14)


@plot
async def held_recording_that_is_cancelled(story: Story) -> None:
    await story.say("recording", 14)
    await story.at(6)
    await story.say("pause")


@plot
async def repeated_every_second(story: Story) -> None:
    for second in range(6):
        await story.at(second)
        await story.say("typing", 3)


@plot
async def two_accounts(story: Story) -> None:
    other = story.told_by_another()
    await story.say("typing", 4)
    await other.say("typing", 4)
    await story.at(2)
    await other.say("pause")


@plot
async def two_accounts_with_one_instance_name(story: Story) -> None:
    other = story.told_by_another()
    await story.say("typing", 4)
    await other.say("typing", 4)
    await other.say("pause")


@plot
async def two_chats(story: Story) -> None:
    neighbour = new_number()
    await story.say("typing", 3)
    await story.say("typing", 3, number=neighbour)
    await story.say("pause", number=neighbour)


@plot
async def ten_at_once(story: Story) -> None:
    await asyncio.gather(*(story.say("typing" if n % 2 else "pause", 2) for n in range(10)))


@plot
async def ten_at_once_then_a_pause(story: Story) -> None:
    await asyncio.gather(*(story.say("typing", 2) for _ in range(10)))
    await story.say("pause")


@plot
async def a_pause_overtakes_slow_typings(story: Story) -> None:
    await story.client.fault(story.tenant, "slow", delay=1.5, state="typing")
    typings = asyncio.gather(*(story.say("typing", 3) for _ in range(9)))
    await story.at(story_time(story) + 1)  # all nine have arrived, the first is still being sent
    await story.say("pause")
    await typings


@plot
async def hang(story: Story) -> None:
    await story.client.fault(story.tenant, "hang", count=1)
    await story.say("typing", 3)


@plot
async def lost_reply(story: Story) -> None:
    await story.client.fault(story.tenant, "lost_reply", count=1)
    await story.say("typing", 3)


@plot
async def late_application(story: Story) -> None:
    await story.client.fault(story.tenant, "late", count=1, delay=UPSTREAM_TIMEOUT_S + 2)
    await story.say("typing", 3)


@plot
async def rejected(story: Story) -> None:
    await story.client.fault(story.tenant, "status", status=422, count=1)
    await story.say("typing", 2)


@plot
async def rejected_refresh(story: Story) -> None:
    await story.say("typing", 4)
    await story.at(story_time(story) + 1)
    await story.client.fault(story.tenant, "status", status=422, state="recording", count=1)
    await story.say("recording", 9)


@plot
async def pause_refused_for_a_while(story: Story) -> None:
    await story.say("typing", 2)
    await story.client.fault(story.tenant, "status", status=503, state="paused", count=3)


@plot
async def pause_while_not_connected(story: Story) -> None:
    await story.say("typing", 2)
    await story.client.fault(story.tenant, "not_connected", state="paused", count=2)


@plot
async def unavailable_explicit_pause(story: Story) -> None:
    await story.say("typing", 4)
    await story.client.fault(story.tenant, "status", status=503, state="paused", count=1)
    await story.say("pause")


FAULTY = {
    "a_pause_overtakes_slow_typings",
    "hang",
    "lost_reply",
    "late_application",
    "rejected",
    "rejected_refresh",
    "pause_refused_for_a_while",
    "pause_while_not_connected",
    "unavailable_explicit_pause",
}


def story_time(story: Story) -> float:
    return time.monotonic() - story.began


async def tell(story: Story) -> None:
    """Run one plot to its end; what fails, fails in the test that reads this story."""
    story.began = time.monotonic()
    try:
        async with asyncio.timeout(END_S):
            await PLOTS[story.name](story)
    except Exception as failure:  # noqa: BLE001 - kept for the test of this story
        story.failure = failure


def cast_of(installation: Installation, tenant: Tenant, client: Client) -> list[Story]:
    """A story for every plot; one that breaks its upstream, or has a stranger in it, gets tenants of its own."""
    own = installation.create_tenants(len(FAULTY))
    stranger = installation.create_tenant()
    namesake = installation.create_tenant(instance=tenant.instance)
    strangers = {"two_accounts": stranger, "two_accounts_with_one_instance_name": namesake}
    tenants = dict(zip(sorted(FAULTY), own, strict=True))
    return [Story(name, client, tenants.get(name, tenant), strangers.get(name)) for name in PLOTS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(installation: Installation, tenant: Tenant) -> dict[str, Story]:
    async with Client(installation) as client:
        cast = await asyncio.to_thread(cast_of, installation, tenant, client)
        for story in cast:
            await client.sandbox_name(story.tenant)
        began = time.monotonic()
        await asyncio.gather(*(tell(story) for story in cast))
        await asyncio.sleep(max(0.0, began + END_S - time.monotonic()))
        for story in cast:
            story.calls = await client.calls_for(jid(story.number))
    return {story.name: story for story in cast}


@pytest.fixture
def story(stories: dict[str, Story], request: pytest.FixtureRequest) -> Story:
    """The story that the test is told, by its `reads` mark."""
    told = stories[request.param]
    if told.failure is not None:
        raise told.failure
    return told


def reads(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("story", [name], indirect=True)


# An indicator ends on time


@reads("one_typing")
def test_typing_with_a_duration_is_paused_by_itself_when_it_ends(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], 2)


@reads("one_recording")
def test_recording_with_a_duration_is_paused_by_itself_when_it_ends(story: Story) -> None:
    assert story.states == ["recording", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], 2)


@reads("no_duration")
def test_without_a_duration_it_is_paused_at_its_natural_end(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], NATURAL_END_S)


@reads("held")
def test_a_long_indicator_is_sent_again_about_every_4_seconds_and_paused_once_at_its_end(story: Story) -> None:
    shown = story.shown("typing")
    gaps = [later.at - earlier.at for earlier, later in zip(story.calls, story.calls[1:], strict=False)]

    assert story.states == ["typing"] * len(shown) + ["paused"]
    assert max(gaps) <= DARK_S, gaps
    assert min(gaps[:-1]) >= 3, gaps
    assert_paused_on_time(story.pause, shown[0], 14)


@reads("held_recording_that_is_cancelled")
def test_a_cancelled_indicator_is_never_sent_again(story: Story) -> None:
    assert story.states == ["recording", "recording", "paused"]
    assert story.pause.at - story.calls[0].at < 6 + NOISE_S


# The last command wins


@reads("longer_replaces")
def test_a_longer_typing_moves_the_pause_of_the_one_before_and_calls_nobody(story: Story) -> None:
    assert story.states == ["typing", "typing", "paused"]
    assert 3 <= story.calls[1].at - story.calls[0].at <= DARK_S  # its refresh, when it was due
    assert story.pause.at - story.asked_at[1] >= 5 - CLOCK_S
    assert story.pause.at - story.answered_at[1] <= 5 + NOISE_S


@reads("shorter_replaces")
def test_a_shorter_typing_replaces_the_pause_of_the_one_before(story: Story) -> None:
    assert story.states == ["typing", "typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[1], 2)


@reads("recording_replaces_typing")
def test_recording_replaces_typing_and_its_pause(story: Story) -> None:
    assert story.states == ["typing", "recording", "paused"]
    assert_paused_on_time(story.pause, story.calls[1], 3)


@reads("repeated_every_second")
def test_overlapping_repeats_every_second_cost_refreshes_and_one_pause_after_the_last(story: Story) -> None:
    assert story.states == ["typing"] * 2 + ["paused"]
    assert story.pause.at - story.asked_at[5] >= 3 - CLOCK_S
    assert story.pause.at - story.answered_at[5] <= 3 + NOISE_S
    assert story.statuses == [200] * 6
    assert max(answer.took_s for answer in story.answers) < 1.5


@reads("pause_cancels")
def test_after_an_explicit_pause_nothing_follows(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert story.pause.at - story.calls[0].at < 0.5 + NOISE_S


@reads("alias_cancels")
def test_paused_is_pause(story: Story) -> None:
    assert story.states == ["recording", "paused"]
    assert story.pause.at - story.calls[0].at < 0.5 + NOISE_S


@reads("pause_with_a_duration_cancels")
def test_a_pause_has_no_duration(story: Story) -> None:
    assert story.states == ["typing", "paused"]


@reads("no_duration_cancels")
def test_typing_without_a_duration_moves_the_pause_of_the_one_before_to_its_natural_end(story: Story) -> None:
    assert set(story.states[:-1]) == {"typing"}
    assert story.states[-1] == "paused"
    assert story.pause.at - story.asked_at[1] >= NATURAL_END_S - CLOCK_S
    assert story.pause.at - story.answered_at[1] <= NATURAL_END_S + NOISE_S


@reads("another_spelling_cancels")
def test_two_spellings_of_one_chat_are_one_chat(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert {answer.body["chat_jid"] for answer in story.answers} == {jid(story.number)}


@reads("ten_at_once")
def test_ten_commands_at_once_leave_one_of_them_standing(story: Story) -> None:
    assert story.statuses == [200] * 10
    assert story.states[-1] == "paused"
    last_shown = max((call.n for call in story.shown("typing")), default=0)
    after = [call for call in story.calls if call.n > last_shown]
    if last_shown and len(after) == 1 and after[0].at - story.calls[0].at > NOISE_S:
        assert_paused_on_time(after[0], next(call for call in story.calls if call.n == last_shown), 2)
    else:
        assert story.calls[-1].at - story.calls[0].at <= NOISE_S, "an explicit pause stands: nothing may follow"


@reads("ten_at_once_then_a_pause")
def test_a_pause_after_ten_commands_at_once_is_the_last_of_all(story: Story) -> None:
    assert story.statuses == [200] * 11
    assert story.states[-1] == "paused"
    assert story.states.count("paused") == 1


@reads("a_pause_overtakes_slow_typings")
def test_a_pause_that_arrives_last_is_last_though_older_commands_are_still_under_way(story: Story) -> None:
    assert story.statuses == [200] * 10
    assert story.states[-1] == "paused"
    assert story.states.count("paused") == 1
    assert story.pause.at - story.calls[0].at < 3, "it was the caller's pause, not the end of an older typing"


# To each its own


@reads("two_accounts")
def test_another_accounts_indicator_on_the_same_number_is_untouched(story: Story) -> None:
    own = story.calls[0].instance
    mine = [call for call in story.calls if call.instance == own]
    theirs = [call for call in story.calls if call.instance != own]

    assert [call.state for call in mine] == ["typing", "paused"]
    assert_paused_on_time(mine[1], mine[0], 4)
    assert [call.state for call in theirs] == ["typing", "paused"]
    assert theirs[1].at - theirs[0].at < 4 - CLOCK_S


@reads("two_accounts_with_one_instance_name")
def test_two_accounts_may_name_their_instances_alike(story: Story) -> None:
    assert sorted(story.states) == ["paused", "paused", "typing", "typing"]
    assert story.states[-1] == "paused"
    assert_paused_on_time(story.calls[-1], story.calls[0], 4)


@reads("two_chats")
def test_another_chat_of_the_same_instance_is_untouched(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], 3)


# When the upstream misbehaves


@reads("hang")
def test_after_a_504_the_pause_comes_anyway(story: Story) -> None:
    assert [(answer.status, answer.message) for answer in story.answers] == [(504, "Upstream did not answer in time")]
    assert story.states[0] == "paused"
    assert set(story.states) == {"paused"}
    assert story.calls[0].at <= story.answered_at[0] + 3 + NOISE_S


@reads("lost_reply")
def test_when_the_answer_was_lost_the_shown_indicator_is_paused_anyway(story: Story) -> None:
    assert [(answer.status, answer.message) for answer in story.answers] == [(504, "Upstream did not answer in time")]
    assert story.states[0] == "typing"
    assert set(story.states[1:]) == {"paused"}
    assert story.calls[1].at - story.calls[0].at <= 3 + NOISE_S


@reads("late_application")
def test_an_indicator_that_appears_after_its_504_is_paused_still(story: Story) -> None:
    assert story.statuses == [504]
    assert "typing" in story.states, "the upstream applied it late"
    assert story.states[-1] == "paused"
    assert story.calls[-1].at - story.answered_at[0] <= ECHO_S + 2 + NOISE_S


@reads("rejected")
def test_who_got_an_error_owes_nothing(story: Story) -> None:
    assert [(answer.status, answer.message) for answer in story.answers] == [(502, "Upstream rejected the request")]
    assert story.states == []


@reads("rejected_refresh")
def test_a_rejected_command_keeps_the_older_pause(story: Story) -> None:
    assert story.statuses == [200, 502]
    assert story.states == ["typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], 4)


@reads("pause_refused_for_a_while")
def test_a_pause_that_fails_is_tried_again_until_it_is_through(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert_paused_on_time(story.pause, story.calls[0], 2, late=1.2 * (0.3 + 0.6 + 1.2))


@reads("pause_while_not_connected")
def test_a_pause_waits_for_an_instance_that_is_not_connected(story: Story) -> None:
    assert story.states == ["typing", "paused"]
    assert story.pause.at - story.calls[0].at >= 2 - CLOCK_S


@reads("unavailable_explicit_pause")
def test_a_pause_that_failed_before_the_caller_comes_by_itself_at_the_end(story: Story) -> None:
    assert story.statuses[0] == 200
    assert story.statuses[1] in {502, 503, 504}
    assert story.states[0] == "typing"
    assert story.states[-1] == "paused"
    assert story.shown("paused")[0].at - story.calls[0].at <= 4 + NOISE_S
