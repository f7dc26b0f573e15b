"""Whose calls fail is remembered with the reason, bounded in number and in time."""

import msgspec

from gateway.presence.model import Outcome, Target
from gateway.store.troubles import Trouble
from gateway.upstreams.troubles import _MOST, LASTS_S, Troubles


class Clock:
    """Unix seconds that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.open: set[str] = set()
        self.troubles = Troubles(lambda target: target.instance_id in self.open, lambda: self.now_s)

    def note(self, instance: str, *outcomes: Outcome) -> None:
        target = Target("waha", "http://waha", f"s-{instance}", "secret", account_id="a1", instance_id=instance)
        for outcome in outcomes:
            self.troubles.note(target, outcome)

    def only(self) -> Trouble:
        (trouble,) = self.troubles.now()
        return trouble


def test_what_goes_well_is_not_remembered() -> None:
    clock = Clock()
    clock.note("i1", Outcome.OK, Outcome.OK)
    assert clock.troubles.now() == []


def test_a_failure_is_told_with_for_whom_and_why_and_without_the_credential() -> None:
    clock = Clock()
    clock.note("i1", Outcome.UNAVAILABLE)
    clock.now_s += 5
    clock.open.add("i1")
    clock.note("i1", Outcome.NOT_CONNECTED)
    assert clock.only() == Trouble(
        "a1", "i1", "waha", "http://waha", "s-i1", "not_connected", 2, 1000.0, 1005.0, None, is_open=True
    )
    assert b"secret" not in msgspec.json.encode(clock.only())


def test_what_the_caller_asked_wrongly_is_no_trouble_of_the_upstream() -> None:
    clock = Clock()
    clock.note("i1", Outcome.UNKNOWN_NUMBER, Outcome.DOUBTED_NUMBER, Outcome.UNSUPPORTED)
    assert clock.troubles.now() == []


def test_a_call_that_goes_well_after_it_is_told_and_a_later_failure_takes_that_back() -> None:
    clock = Clock()
    clock.note("i1", Outcome.UNKNOWN)
    clock.now_s += 7
    clock.note("i1", Outcome.OK)
    assert (clock.only().ok_s, clock.only().last_s) == (1007.0, 1000.0)
    clock.note("i1", Outcome.UNKNOWN)
    assert (clock.only().ok_s, clock.only().failed) == (None, 2)


def test_what_failed_long_ago_is_forgotten_and_what_failed_since_is_not() -> None:
    clock = Clock()
    clock.note("old", Outcome.UNKNOWN)
    clock.note("again", Outcome.UNKNOWN)
    clock.now_s += 10
    clock.note("again", Outcome.UNKNOWN)
    clock.now_s += LASTS_S - 5
    assert clock.only().instance_id == "again"


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    clock = Clock()
    for number in range(_MOST + 20):
        clock.note(f"i{number}", Outcome.REJECTED)
    kept = [one.instance_id for one in clock.troubles.now()]
    assert (len(kept), kept[0], kept[-1]) == (_MOST, "i20", f"i{_MOST + 19}")
