"""The sandbox's phone keeps what it was told, in order, bounded, and lets listeners hear it."""

from itertools import count

import pytest

from gateway.presence.model import State
from gateway.sandbox.phone import KEPT_INSTANCES, SNAPSHOT_CALLS, SNAPSHOT_MESSAGES, Listener, Phone, Told

CHAT = "5511999999999@s.whatsapp.net"


@pytest.fixture
def phone() -> Phone:
    """A phone whose clock shows 100, 101, 102... as it is read."""
    ticks = count(100)
    return Phone(lambda: float(next(ticks)))


def unexpected() -> None:
    pytest.fail("the listener was cut off")


def test_calls_are_numbered_from_one_over_all_instances_and_timed(phone: Phone) -> None:
    phone.tell("demo", CHAT, State.TYPING)
    phone.tell("shop", CHAT, State.PAUSED)
    assert [(told.n, told.at, told.instance, told.state) for told in phone.since(0)] == [
        (1, 100.0, "demo", State.TYPING),
        (2, 101.0, "shop", State.PAUSED),
    ]


@pytest.mark.parametrize(("n", "numbers"), [(0, [1, 2, 3]), (1, [2, 3]), (3, []), (99, [])])
def test_since_returns_only_later_calls(phone: Phone, n: int, numbers: list[int]) -> None:
    for _ in range(3):
        phone.tell("demo", CHAT, State.TYPING)
    assert [told.n for told in phone.since(n)] == numbers


def test_since_can_be_narrowed_to_one_instance(phone: Phone) -> None:
    for instance in ("demo", "shop", "demo"):
        phone.tell(instance, CHAT, State.TYPING)
    assert [told.n for told in phone.since(0, "demo")] == [1, 3]


def test_the_log_forgets_the_oldest_and_goes_on_counting() -> None:
    phone = Phone(lambda: 0.0, kept=2)
    for _ in range(5):
        phone.tell("demo", CHAT, State.TYPING)
    assert [told.n for told in phone.since(0)] == [4, 5]
    assert [told.n for told in phone.since(4)] == [5]


def test_the_first_snapshot_is_an_empty_demo(phone: Phone) -> None:
    snapshot = phone.snapshot()
    assert (snapshot.now, snapshot.instance, snapshot.instances, snapshot.calls) == (100.0, "demo", [], [])


def test_a_snapshot_is_of_the_instance_that_spoke_last(phone: Phone) -> None:
    for instance in ("demo", "shop", "demo", "shop"):
        phone.tell(instance, CHAT, State.TYPING)
    snapshot = phone.snapshot()
    assert (snapshot.instance, snapshot.instances) == ("shop", ["shop", "demo"])
    assert [told.n for told in snapshot.calls] == [2, 4]


def test_a_snapshot_can_be_of_an_instance_that_never_spoke(phone: Phone) -> None:
    phone.tell("demo", CHAT, State.TYPING)
    assert phone.snapshot("shop").instance == "shop"
    assert phone.snapshot("shop").calls == []


def test_a_snapshot_holds_the_newest_calls_only(phone: Phone) -> None:
    for _ in range(SNAPSHOT_CALLS + 5):
        phone.tell("demo", CHAT, State.TYPING)
    numbers = [told.n for told in phone.snapshot().calls]
    assert numbers == list(range(6, SNAPSHOT_CALLS + 6))


def test_only_the_instances_that_spoke_last_are_remembered(phone: Phone) -> None:
    for number in range(KEPT_INSTANCES + 1):
        phone.tell(f"i{number}", CHAT, State.TYPING)
    instances = phone.snapshot().instances
    assert (len(instances), instances[0], instances[-1]) == (KEPT_INSTANCES, f"i{KEPT_INSTANCES}", "i1")


async def test_a_listener_hears_what_is_told_while_it_listens(phone: Phone) -> None:
    phone.tell("demo", CHAT, State.TYPING)
    with phone.listen(None, unexpected) as listener:
        phone.tell("demo", CHAT, State.RECORDING)
        phone.tell("shop", CHAT, State.PAUSED)
        assert [told.n for told in await listener.take(quiet_s=5) if isinstance(told, Told)] == [2, 3]
    phone.tell("demo", CHAT, State.PAUSED)
    assert await listener.take(quiet_s=0) == []


async def test_a_listener_of_one_instance_hears_no_other(phone: Phone) -> None:
    with phone.listen("demo", unexpected) as listener:
        phone.tell("shop", CHAT, State.TYPING)
        phone.tell("demo", CHAT, State.TYPING)
        assert [told.instance for told in await listener.take(quiet_s=5)] == ["demo"]


async def test_silence_is_an_empty_batch(phone: Phone) -> None:
    with phone.listen(None, unexpected) as listener:
        assert await listener.take(quiet_s=0) == []
        assert not listener.closed


async def test_a_listener_that_falls_behind_is_cut_off_once(phone: Phone) -> None:
    cuts: list[str] = []
    listener = Listener(None, lambda: cuts.append("cut"), limit=2)
    for _ in range(5):
        listener.hear(phone.tell("demo", CHAT, State.TYPING))
    assert (listener.closed, cuts) == (True, ["cut"])
    assert await listener.take(quiet_s=60) == []


async def test_hanging_up_ends_every_wait_at_once(phone: Phone) -> None:
    with phone.listen(None, unexpected) as listener:
        phone.hang_up()
        assert listener.closed
        assert await listener.take(quiet_s=60) == []


async def test_a_message_is_heard_in_its_turn_and_is_no_call(phone: Phone) -> None:
    with phone.listen("demo", unexpected) as listener:
        phone.tell("demo", CHAT, State.TYPING)
        message = phone.deliver("demo", CHAT, "hello")
        paused = phone.tell("demo", CHAT, State.PAUSED)
        assert (await listener.take(quiet_s=5))[1:] == [message, paused]
    assert (message.instance, message.chat, message.text) == ("demo", CHAT, "hello")
    assert paused.n == 2


def test_a_snapshot_holds_the_newest_messages_of_its_instance(phone: Phone) -> None:
    phone.deliver("shop", CHAT, "elsewhere")
    sent = [phone.deliver("demo", CHAT, str(number)) for number in range(SNAPSHOT_MESSAGES + 5)]
    assert phone.snapshot("demo").messages == sent[5:]
    assert len({message.id for message in sent}) == len(sent)
