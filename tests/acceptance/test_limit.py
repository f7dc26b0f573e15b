"""One token, eight processes, three gateways: never more than 100 in any minute, and a door that opens when it says."""

import json
import subprocess
from dataclasses import dataclass

import pytest
from acceptance.volley import CALLERS, VOLLEY

LIMIT = 100
WINDOW_S = 60.0


@dataclass(frozen=True)
class Try:
    """One request as its sender saw it."""

    sent: float
    answered: float
    status: int
    limit: int
    remaining: int
    reset: int


@pytest.fixture(scope="module")
def tries(callers: list["subprocess.Popen[bytes]"]) -> list[Try]:
    """What every caller saw: a volley, a minute of refused tries, and a second volley at Reset."""
    seen = []
    for caller in callers:
        output, complaint = caller.communicate(timeout=WINDOW_S + 45)
        assert caller.returncode == 0, complaint.decode()
        seen += [Try(*json.loads(line)) for line in output.splitlines()]
    return sorted(seen, key=lambda one: one.answered)


@pytest.fixture
def first_volley(tries: list[Try]) -> list[Try]:
    first = tries[0].sent
    return [one for one in tries if one.sent < first + WINDOW_S / 2]


def test_of_200_requests_at_once_exactly_100_are_admitted(first_volley: list[Try]) -> None:
    """3. Never more than 100, at any concurrency, from any number of processes; and no fewer."""
    assert len(first_volley) >= CALLERS * VOLLEY
    assert [one.status for one in first_volley].count(200) == LIMIT
    assert {one.status for one in first_volley} == {200, 429}


def test_no_span_of_60_seconds_holds_more_than_100_admitted_requests(tries: list[Try]) -> None:
    """3. Any 60-second span: a request counts when it was certainly admitted within it."""
    admitted = [one for one in tries if one.status == 200]

    assert len(admitted) > LIMIT, "the second volley was admitted too"
    for begin in (one.sent for one in admitted):
        within = [one for one in admitted if one.sent >= begin and one.answered < begin + WINDOW_S]
        assert len(within) <= LIMIT


def test_remaining_counts_down_to_nought_once_for_each(first_volley: list[Try]) -> None:
    """3. The headers of concurrent answers, over all gateways, are one count."""
    told = [one.remaining for one in first_volley if one.status == 200]

    assert sorted(told) == list(range(LIMIT))
    assert {one.remaining for one in first_volley if one.status == 429} == {0}
    assert {one.limit for one in first_volley} == {LIMIT}


def test_refused_tries_do_not_push_reset_away(tries: list[Try], first_volley: list[Try]) -> None:
    """3. Everyone refused within the minute was told the same Reset: when the first slot frees."""
    (reset,) = {one.reset for one in first_volley if one.status == 429}
    in_between = [one for one in tries if first_volley[-1].answered < one.sent < reset - 1]

    assert min(one.sent for one in first_volley) + WINDOW_S <= reset <= first_volley[0].answered + WINDOW_S + 1
    assert len(in_between) > CALLERS
    assert {(one.status, one.reset) for one in in_between} == {(429, reset)}


def test_who_waits_until_reset_gets_through(tries: list[Try], first_volley: list[Try]) -> None:
    """3. A client that waits until Reset must then get through: one slot is free, so one of eight does."""
    (reset,) = {one.reset for one in first_volley if one.status == 429}
    after = sorted((one for one in tries if one.sent >= reset), key=lambda one: one.sent)

    assert 200 in {one.status for one in after[:CALLERS]}
