"""What an upstream that hangs may hold of a process: a few calls, however many are wanted."""

from gateway.upstreams.breaker import Breaker


def begin(breaker: Breaker, now_s: float) -> bool:
    if not breaker.has_room(now_s):
        return False
    breaker.begins(now_s)
    return True


def test_an_upstream_that_answers_gets_as_many_calls_as_there_are() -> None:
    breaker = Breaker()
    for tenths in range(100):
        assert all(begin(breaker, tenths / 10) for _ in range(50))
        for _ in range(50):
            breaker.ends(heard=True)


def test_an_upstream_that_is_silent_for_a_second_gets_no_more_than_eight_at_once() -> None:
    breaker = Breaker()
    assert sum(begin(breaker, 0.9) for _ in range(20)) == 20
    assert not begin(breaker, 2.0)
    for _ in range(20):
        breaker.ends(heard=False)
    assert sum(begin(breaker, 10.0) for _ in range(20)) == 8


def test_its_first_answer_lets_everybody_in_again() -> None:
    breaker = Breaker()
    assert sum(begin(breaker, 0.0) for _ in range(8)) == 8
    assert not begin(breaker, 5.0)
    breaker.ends(heard=True)
    assert sum(begin(breaker, 5.1) for _ in range(20)) == 20


def test_an_upstream_that_was_idle_for_long_is_not_one_that_hangs() -> None:
    breaker = Breaker()
    begin(breaker, 0.0)
    breaker.ends(heard=True)
    assert sum(begin(breaker, 1000.0) for _ in range(20)) == 20
