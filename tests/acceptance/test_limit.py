"""One token, eight processes, two gateways: never more than 100 in any minute, and a door that opens when it says."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from acceptance.conftest import ROOT, START_WITHIN_S, STOP_WITHIN_S, Installation, Tenant, new_number

LIMIT = 100
WINDOW_S = 60.0
PROCESSES = 8
VOLLEY = 25  # requests of each process at once: twice the limit together

CALLER = """
import http.client, json, sys, time
from urllib.parse import urlsplit

urls, path, token, body, begin, volley, until_reset = json.loads(sys.argv[1])
doors = [http.client.HTTPConnection(urlsplit(url).hostname, urlsplit(url).port, timeout=20) for url in urls]

def ask(n):
    door, sent = doors[n % len(doors)], time.time()
    door.request("POST", path, body, {"token": token})
    answer = door.getresponse()
    answer.read()
    told = {name: int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")}
    print(json.dumps([sent, time.time(), answer.status, told]), flush=True)
    for open_door in doors:  # a minute of silence would be taken for a dead connection
        open_door.close()
    return answer.status, told["Reset"]

time.sleep(max(0, begin - time.time()))
for n in range(volley):
    status, reset = ask(n)
while until_reset and status == 429 and time.time() < reset:
    time.sleep(max(0, min(7, reset - time.time())))  # a refused try in between must not push Reset away
    if time.time() < reset:
        ask(0)
if until_reset:
    time.sleep(max(0, reset - time.time()))
    for n in range(volley):
        ask(n)
"""


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
def second_url(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second gateway process on the same Redis."""
    with socket.socket() as free, socket.socket() as free_too:
        for one in (free, free_too):
            one.bind(("127.0.0.1", 0))
        port, admin_port = free.getsockname()[1], free_too.getsockname()[1]
    log = tmp_path_factory.mktemp("second") / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=ROOT,
            env=installation.environment | {"PRESENCE_HTTP__PORT": str(port), "PRESENCE_ADMIN__PORT": str(admin_port)},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_served(url, process, log)
        yield url
    finally:
        process.terminate()
        assert process.wait(STOP_WITHIN_S) == 0


def wait_until_served(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)


def fire(urls: list[str], tenant: Tenant, *, volley: int, until_reset: bool) -> list[Try]:
    """Let eight processes fire at one token at once, and collect what each of them saw."""
    body = json.dumps({"number": new_number(), "state": "pause"})
    order = [urls, f"/api/chat/presence/{tenant.instance}", tenant.account_token, body, time.time() + 1.5, volley]
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, json.dumps([*order, until_reset])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    tries = []
    for caller in callers:
        output, complaint = caller.communicate(timeout=WINDOW_S + 45)
        assert caller.returncode == 0, complaint.decode()
        for line in output.splitlines():
            sent, answered, status, told = json.loads(line)
            tries.append(Try(sent, answered, status, told["Limit"], told["Remaining"], told["Reset"]))
    return sorted(tries, key=lambda one: one.answered)


@pytest.fixture(scope="module")
def tries(installation: Installation, second_url: str) -> list[Try]:
    """The one long wait: a volley, a minute of refused tries, and a second volley at Reset."""
    tenant = installation.create_tenant(per_minute=None)
    return fire([installation.url, second_url], tenant, volley=VOLLEY, until_reset=True)


@pytest.fixture
def first_volley(tries: list[Try]) -> list[Try]:
    first = tries[0].sent
    return [one for one in tries if one.sent < first + WINDOW_S / 2]


def test_of_200_requests_at_once_exactly_100_are_admitted(first_volley: list[Try]) -> None:
    """3. Never more than 100, at any concurrency, from any number of processes; and no fewer."""
    assert len(first_volley) >= PROCESSES * VOLLEY
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
    """3. The headers of concurrent answers, over both gateways, are one count."""
    told = [one.remaining for one in first_volley if one.status == 200]

    assert sorted(told) == list(range(LIMIT))
    assert {one.remaining for one in first_volley if one.status == 429} == {0}
    assert {one.limit for one in first_volley} == {LIMIT}


def test_refused_tries_do_not_push_reset_away(tries: list[Try], first_volley: list[Try]) -> None:
    """3. Everyone refused within the minute was told the same Reset: when the first slot frees."""
    (reset,) = {one.reset for one in first_volley if one.status == 429}
    in_between = [one for one in tries if first_volley[-1].answered < one.sent < reset - 1]

    assert min(one.sent for one in first_volley) + WINDOW_S <= reset <= first_volley[0].answered + WINDOW_S + 1
    assert len(in_between) > PROCESSES
    assert {(one.status, one.reset) for one in in_between} == {(429, reset)}


def test_who_waits_until_reset_gets_through(tries: list[Try], first_volley: list[Try]) -> None:
    """3. A client that waits until Reset must then get through: one slot is free, so one of eight does."""
    (reset,) = {one.reset for one in first_volley if one.status == 429}
    after = sorted((one for one in tries if one.sent >= reset), key=lambda one: one.sent)

    assert 200 in {one.status for one in after[:PROCESSES]}
