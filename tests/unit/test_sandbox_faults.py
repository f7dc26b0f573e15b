"""The sandbox's faults stand for an instance, strike what they were ordered to, and end."""

import msgspec
import pytest

from gateway.presence.model import State
from gateway.sandbox.faults import ALL, Fault, Faults, Kind


def ordered(*faults: Fault) -> Faults:
    standing = Faults()
    for fault in faults:
        standing.order(fault)
    return standing


def struck(faults: Faults, instance: str = "demo", state: State = State.TYPING) -> Kind | None:
    standing = faults.strike(instance, state)
    return None if standing is None else standing.fault.kind


def test_nothing_fails_unordered() -> None:
    assert struck(Faults()) is None


def test_a_fault_strikes_its_own_instance_until_it_is_cleared() -> None:
    faults = ordered(Fault("demo", Kind.RESET))
    assert [struck(faults), struck(faults), struck(faults, "shop")] == [Kind.RESET, Kind.RESET, None]
    faults.clear()
    assert struck(faults) is None


def test_a_new_fault_replaces_the_former_and_releases_its_calls() -> None:
    faults = ordered(Fault("demo", Kind.HANG))
    hanging = faults.strike("demo", State.TYPING)
    faults.order(Fault("demo", Kind.STATUS))
    assert hanging is not None
    assert hanging.cleared.is_set()
    assert struck(faults) is Kind.STATUS


def test_none_clears_one_instance() -> None:
    faults = ordered(Fault("demo", Kind.RESET), Fault("shop", Kind.RESET), Fault("demo", Kind.NONE))
    assert [struck(faults), struck(faults, "shop")] == [None, Kind.RESET]


def test_a_fault_of_all_strikes_those_without_their_own() -> None:
    faults = ordered(Fault(ALL, Kind.RESET), Fault("demo", Kind.STATUS))
    assert [struck(faults, "shop"), struck(faults, "demo")] == [Kind.RESET, Kind.STATUS]


def test_a_counted_fault_is_spent_after_so_many_presences() -> None:
    faults = ordered(Fault("demo", Kind.STATUS, count=2))
    assert [struck(faults) for _ in range(3)] == [Kind.STATUS, Kind.STATUS, None]
    assert faults.listed() == []


def test_calls_that_hang_in_a_spent_fault_hang_until_it_is_cleared() -> None:
    faults = ordered(Fault("demo", Kind.HANG, count=1))
    hanging = faults.strike("demo", State.TYPING)
    assert hanging is not None
    assert not hanging.cleared.is_set()
    faults.clear()
    assert hanging.cleared.is_set()


def test_a_fault_of_one_state_spares_and_does_not_count_the_others() -> None:
    faults = ordered(Fault("demo", Kind.STATUS, count=1, state=State.PAUSED))
    states = [State.TYPING, State.PAUSED, State.PAUSED]
    assert [struck(faults, state=state) for state in states] == [None, Kind.STATUS, None]


def test_an_instance_is_disconnected_while_that_fault_stands() -> None:
    faults = ordered(Fault("demo", Kind.NOT_CONNECTED, count=1))
    assert (faults.is_connected("demo"), faults.is_connected("shop")) == (False, True)
    faults.strike("demo", State.TYPING)
    assert faults.is_connected("demo")


def test_an_instances_own_fault_decides_whether_it_is_connected() -> None:
    faults = ordered(Fault(ALL, Kind.NOT_CONNECTED), Fault("demo", Kind.SLOW))
    assert (faults.is_connected("demo"), faults.is_connected("shop")) == (True, False)


def test_clearing_spares_what_is_on_its_way_late_but_closing_does_not() -> None:
    faults = ordered(Fault("demo", Kind.LATE))
    late = faults.strike("demo", State.TYPING)
    assert late is not None
    faults.clear()
    assert not late.closing.is_set()
    faults.close()
    assert late.closing.is_set()


@pytest.mark.parametrize(("kind", "delay_s"), [(Kind.SLOW, 3.0), (Kind.LATE, 3.0), (Kind.SLOW_BYTES, 1.0)])
def test_a_kind_has_its_own_delay_unless_one_is_ordered(kind: Kind, delay_s: float) -> None:
    assert Fault("demo", kind).delay_s == delay_s
    assert Fault("demo", kind, delay=0.0).delay_s == 0.0


def test_the_list_says_what_was_ordered_and_how_often_it_struck() -> None:
    faults = ordered(Fault("demo", Kind.LATE, count=5, delay=2.5, state=State.TYPING))
    faults.strike("demo", State.TYPING)
    assert msgspec.to_builtins(faults.listed()) == [
        {
            "instance": "demo",
            "fault": "late",
            "count": 5,
            "delay": 2.5,
            "status": 500,
            "state": "typing",
            "struck": 1,
        },
    ]


def test_every_kind_says_what_it_does() -> None:
    assert all(kind.about for kind in Kind)
