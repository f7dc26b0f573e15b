"""What an upstream that hangs may hold of a process: a few calls, however many are wanted, and nothing of others'."""

from dataclasses import replace

from gateway.presence.model import Outcome, Target
from gateway.upstreams.breaker import OPEN_S, TRIPS_AFTER, Breakers, Passage

SHARED = "http://hosted"
MINE = Target("wuzapi", SHARED, "s", "mine", account_id="bystander")
THEIRS = [Target("wuzapi", SHARED, f"s{number}", f"c{number}", account_id="attacker") for number in range(100)]


class World:
    """Breakers whose time the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.breakers = Breakers(lambda: self.now_s)

    def enter(self, target: Target, times: int = 1, *, is_pause: bool = True) -> list[Passage]:
        """Let calls through, which stay under way; returns those that were let through."""
        tried = (self.breakers.enter(target, is_pause=is_pause) for _ in range(times))
        return [passage.__enter__() for passage in tried if passage is not None]

    def hang(self, targets: list[Target]) -> None:
        """Let a call to each go out, and nothing come back for longer than it takes to notice."""
        for target in targets:
            for passage in self.enter(target):
                passage.ended(Outcome.UNKNOWN)
                passage.__exit__()
        self.now_s += 2.0


def answer(passages: list[Passage]) -> None:
    for passage in passages:
        passage.answered()
        passage.__exit__()


def test_an_upstream_that_answers_gets_as_many_calls_as_there_are() -> None:
    world = World()
    for _ in range(100):
        world.now_s += 0.1
        passages = world.enter(MINE, 50)
        assert len(passages) == 50
        answer(passages)


def test_a_session_that_is_silent_for_a_second_gets_no_more_than_eight_at_once() -> None:
    world = World()
    world.enter(MINE)
    world.now_s = 0.9
    assert len(world.enter(MINE, 20)) == 20
    world.now_s = 2.0
    assert not world.enter(MINE)
    fresh = World()
    fresh.hang([MINE])
    assert len(fresh.enter(MINE, 20)) == 8


def test_its_first_answer_lets_everybody_in_again() -> None:
    world = World()
    passages = world.enter(MINE, 8)
    world.now_s = 5.0
    assert not world.enter(MINE)
    answer(passages[:1])
    assert len(world.enter(MINE, 20)) == 20


def test_an_upstream_that_was_idle_for_long_is_not_one_that_hangs() -> None:
    world = World()
    answer(world.enter(MINE))
    world.now_s = 1000.0
    assert len(world.enter(MINE, 20)) == 20


def test_a_hundred_credentials_of_one_origin_that_hang_get_no_more_than_thirty_two_calls_at_once() -> None:
    world = World()
    world.hang(THEIRS)
    assert sum(len(world.enter(target, 10)) for target in THEIRS) == 32


def test_what_an_account_does_at_an_origin_is_not_felt_by_another_account_of_the_same_origin() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.hang(THEIRS)
    for target in THEIRS:
        world.enter(target, 10)
    assert len(world.enter(MINE, 20, is_pause=False)) == 20


def test_an_origin_out_of_reach_for_one_account_is_tried_for_another() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        (passage,) = world.enter(THEIRS[0])
        passage.ended(Outcome.UNAVAILABLE)
        passage.__exit__()
    assert not world.enter(THEIRS[1], is_pause=False)
    assert world.enter(MINE, is_pause=False)


def test_sessions_that_hang_stop_no_other_of_the_same_account() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.hang(THEIRS[1:])
    for target in THEIRS[1:]:
        world.enter(target, 10)
    assert len(world.enter(THEIRS[0], 20, is_pause=False)) == 20
    assert len(world.enter(replace(THEIRS[0], credential="another"), 20, is_pause=False)) == 20


def test_a_pause_passes_an_open_circuit_and_a_command_does_not() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.hang([MINE])
    world.now_s += OPEN_S - 2.5
    assert not world.enter(MINE, is_pause=False)
    assert world.enter(MINE)


def test_a_call_that_was_given_up_half_way_is_over_and_was_not_heard() -> None:
    world = World()
    for passage in world.enter(MINE, 8):
        passage.__exit__()
    world.now_s = 5.0
    assert len(world.enter(MINE, 20)) == 8
