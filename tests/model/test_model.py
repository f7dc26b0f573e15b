"""Hundreds of scenarios, each of a seed: nothing is left on, nothing is owed, nothing old acts on anything newer."""

import pytest

from model.keyspace import Keyspace
from model.scenario import play, scenario_of

SEEDS_EACH = 50


@pytest.mark.parametrize("first", range(0, 400, SEEDS_EACH))
def test_every_promise_is_kept_whatever_happens(keyspace: Keyspace, first: int) -> None:
    for seed in range(first, first + SEEDS_EACH):
        report = play(scenario_of(seed), keyspace)
        assert not report.objections, report.timeline()


def test_no_promise_stands_that_its_caller_was_refused(keyspace: Keyspace) -> None:
    refused = 0
    for seed in range(40):
        report = play(scenario_of(seed, "lost replies"), keyspace)
        assert not report.objections, report.timeline()
        refused += sum("StoreUnavailable" in what for _, what in report.trace)
    assert refused


def test_a_message_that_is_reported_late_ends_what_was_asked_for_before_it_and_nothing_newer(
    keyspace: Keyspace,
) -> None:
    ended, overtaken = 0, 0
    for seed in range(40):
        report = play(scenario_of(seed, "a message reported late"), keyspace)
        assert not report.objections, report.timeline()
        answers = [what for _, what in report.trace if "answered" in what]
        ended += answers[-1].endswith("shown")
        overtaken += answers[-1].endswith("nothing")
    assert ended > 5
    assert overtaken > 5


def test_without_faults_a_pause_is_on_time_and_nothing_goes_dark(keyspace: Keyspace) -> None:
    lateness: list[float] = []
    for seed in range(40):
        report = play(scenario_of(seed, "calm"), keyspace)
        assert not report.objections, report.timeline()
        lateness += report.lateness
    assert len(lateness) > 40
    assert max(lateness) <= 0.05


def test_a_seed_replays_to_the_step(keyspace: Keyspace) -> None:
    once, again = (play(scenario_of(64, "storm"), keyspace).trace for _ in range(2))
    assert once == again
