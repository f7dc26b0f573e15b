"""How late pauses are: a worker, a real call to an upstream that notes when it came, and what is owed beforehand."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import msgspec
import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis import Redis

from comparison import owed, stock
from comparison.costs import Costs, measured
from comparison.held import CannotHold, held
from comparison.ours import Installation
from comparison.plan import Plan
from comparison.processes import LOOPBACK, program, running
from comparison.samples import Lateness, Memory, Results, percentiles
from comparison.stacks import NAMES, NO_LIMIT
from comparison.valkey import valkey
from gateway.commands.dev.ports import free_port

BURST, BURST_S = 10_000, 0.5
STEADY = 1_000

STEADY_CASE, BURST_CASE = "1,000/s", "10,000 within 0.5 s"
ONE_WORKER, TWO_WORKERS = "ours, 1 worker", "ours, 2 workers"
HELD = ", 1/3 core each"
"""Where the machine's cores are full with one worker, a second one shows only that."""

_LATER_MS = 86_400_000
_LATER_CHATS = 10_000_000
"""The first chat that owes later; those that owe now are counted from 0."""

_OWED_AT_ONCE = 10_000
_OWES_AT_LEAST = 3_000
"""Pauses a second that are owed even on a slow machine; sets how long beforehand we begin."""

_GRACE_S = 15.0
"""After the last was due; what has not come by then misses every target anyway."""
_EARLY_MS = -2.0
"""What two clocks that round to milliseconds may disagree by."""


@dataclass(frozen=True)
class Case:
    """So many pauses, due at a constant rate."""

    what: str
    count: int
    per_second: float

    @property
    def lead_s(self) -> float:
        """How long before the first is due they begin to be owed."""
        return 2.0 + self.count / _OWES_AT_LEAST

    @property
    def lasts_s(self) -> float:
        """From the first to the last."""
        return self.count / self.per_second


@dataclass(frozen=True)
class Workshop:
    """Where a worker works: Redis, the upstream that remembers, an installation, and how to owe."""

    installation: Installation
    valkey_pid: int
    owing: owed.Owing
    callers: str
    """Its instances' paths and tokens, a line each."""


def pauses(plan: Plan, results: Results) -> None:
    """Let one worker, two workers, both held to a third of a core each, and stock arq take turns.

    Each has a Redis of its own that owes nothing else.
    """
    steady = Case(STEADY_CASE, round(STEADY * plan.seconds * 2), STEADY)
    burst = Case(BURST_CASE, BURST, BURST / BURST_S)
    turns: list[tuple[Case, int | None, bool]] = [
        (steady, 1, False),
        (steady, None, False),
        (burst, 1, False),
        (burst, 2, False),
        (burst, 1, True),
        (burst, 2, True),
        (burst, None, False),
    ]
    rounds = (plan.rounds + 1) // 2
    with plan.steps("pauses", rounds * len(turns)) as steps:
        for number in range(rounds):
            for case, workers, is_held in turns:
                steps.begin(f"{case.what}, {f'{workers} of our workers' if workers else 'stock arq'}")
                if workers is None:
                    results.lateness.append(by_arq(plan.room("stock"), case, number))
                else:
                    with open_workshop(plan) as shop, _left_out(plan, results):
                        results.lateness.append(by_ours(shop, case, number, workers, is_held=is_held))
                steps.done()


@contextmanager
def _left_out(plan: Plan, results: Results) -> Iterator[None]:
    try:
        yield
    except CannotHold as reason:
        results.left_out.append(f"workers held to a third of a core: {reason}")
        plan.console.print(f"left out: {results.left_out[-1]}")


def owed_later(plan: Plan, results: Results) -> None:
    """Owe more and more, measure the memory, and see that what is due now does not suffer."""
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size < plan.owed] + [plan.owed]
    until_s = time.monotonic() + plan.owed_within_s
    with open_workshop(plan) as shop, plan.steps("owed later", len(sizes) + 1) as steps:
        empty, there = _used_bytes(shop), 0
        for size in sizes:
            steps.begin(f"until {size:,} are owed")
            began_s = time.monotonic()
            there = _owe_later(shop, there, size, until_s)
            took_s, each = time.monotonic() - began_s, (_used_bytes(shop) - empty) / there
            results.memory.append(Memory(owed=there, bytes_each=each, seconds=took_s))
            steps.done()
            if there < size:
                results.left_out.append(f"{size:,} owed: {plan.owed_within_s:g} s were enough for {there:,}")
                break
        case = Case(f"{STEADY_CASE}, {there:,} owed later", round(STEADY * plan.seconds * 2), STEADY)
        steps.begin(case.what)
        results.lateness.append(by_ours(shop, case, 0, 1))
        steps.done()


def _owe_later(shop: Workshop, there: int, size: int, until_s: float) -> int:
    """Owe until there are so many, or until there is no time left; returns how many there are."""
    while there < size and time.monotonic() < until_s:
        some = min(_OWED_AT_ONCE, size - there)
        there += sum(1 for _ in shop.owing.owe(_LATER_CHATS + there, some, lambda _: _LATER_MS))
    return there


@contextmanager
def open_workshop(plan: Plan) -> Iterator[Workshop]:
    """Run Valkey and the upstream that remembers."""
    folder, port = plan.room("workers"), free_port()
    with (
        running(program("upstream", port), folder / "upstream.log", port=port),
        valkey(folder / "valkey") as server,
    ):
        installation = Installation(folder, server.url, f"http://{LOOPBACK}:{port}")
        created = installation.create_account("bench", NAMES, per_minute=NO_LIMIT)
        owing = uvloop.run(owed.learn(installation.settings, [one.id for one in created]))
        callers = "".join(f"/api/chat/presence/{one.name} {one.token}\n" for one in created)
        yield Workshop(installation, server.pid, owing, callers)


def by_ours(shop: Workshop, case: Case, number: int, workers: int, *, is_held: bool = False) -> Lateness:
    """Run workers over pauses that were owed beforehand; each must reach the upstream."""
    with ExitStack() as stack:
        pids = [stack.enter_context(shop.installation.working()) for _ in range(workers)]
        if is_held:
            stack.enter_context(held(pids))
        roles = {"Valkey": shop.valkey_pid} | {f"worker {n}": pid for n, pid in enumerate(pids, 1)}
        told(shop.installation.upstream_url)
        begin_s = time.time() + case.lead_s
        due = dict(shop.owing.owe(0, case.count, owed.every(case.per_second, begin_s)))
        with measured(roles, None) as costs:
            arrived = _wait(shop, due, begin_s + case.lasts_s)
    late_ms = [(at - due[phone]) * 1000 for phone, at in arrived.items()]
    name = (ONE_WORKER if workers == 1 else TWO_WORKERS) + (HELD if is_held else "")
    return _lateness(case, name, number, late_ms, costs)


def by_arq(folder: Path, case: Case, number: int) -> Lateness:
    """Run arq's own worker over empty jobs that were enqueued beforehand."""
    with valkey(folder / "valkey") as server:
        path, file = server.url.removeprefix("unix://"), folder / "late.json"
        with running(program("stock", path, file), folder / "log") as process:
            begin_s = time.time() + case.lead_s * 1.5
            uvloop.run(_enqueue(path, case, begin_s))
            with measured({"worker 1": process.pid}, None) as costs:
                _wait_for_arq(server.url, begin_s + case.lasts_s)
    late_ms = msgspec.json.decode(file.read_bytes(), type=list[float])
    return _lateness(case, "arq stock, empty jobs", number, late_ms, costs)


def _lateness(case: Case, stack: str, number: int, late_ms: list[float], costs: Costs) -> Lateness:
    ordered = sorted(late_ms)
    return Lateness(
        what=case.what,
        stack=stack,
        round=number,
        due=case.count,
        arrived=len(late_ms),
        early=sum(ms < _EARLY_MS for ms in late_ms),
        late_ms=percentiles(ordered),
        curve_ms=[ordered[round(share / 200 * (len(ordered) - 1))] for share in range(201)] if ordered else [],
        cpu_s=costs.cpu_s,
        seconds=costs.seconds,
    )


def _wait(shop: Workshop, due: dict[str, float], last_s: float) -> dict[str, float]:
    """Collect when each pause first reached the upstream."""
    arrived: dict[str, float] = {}
    time.sleep(max(0.0, last_s - time.time()))
    while len(arrived) < len(due) and time.time() < last_s + _GRACE_S:
        time.sleep(0.5)
        for phone, state, at in told(shop.installation.upstream_url):
            if state == "paused" and phone in due:
                arrived.setdefault(phone, at)
    return arrived


def told(upstream_url: str) -> list[tuple[str, str, float]]:
    """Return what the upstream was told since it was last asked."""
    with urlopen(f"{upstream_url}/told") as answer:
        return [(phone, state, at) for phone, state, at in json.load(answer)]


async def _enqueue(path: str, case: Case, begin_s: float) -> None:
    pool = await create_pool(RedisSettings(unix_socket_path=path))
    numbers = iter(range(case.count))
    await asyncio.gather(*(_enqueue_some(pool, numbers, case, begin_s) for _ in range(16)))
    await pool.aclose()


async def _enqueue_some(pool: ArqRedis, numbers: Iterator[int], case: Case, begin_s: float) -> None:
    for number in numbers:
        due_s = begin_s + number / case.per_second
        await pool.enqueue_job("empty", due_s, _defer_by=max(0.0, due_s - time.time()))


def _wait_for_arq(redis_url: str, last_s: float) -> None:
    time.sleep(max(0.0, last_s - time.time()))
    with Redis.from_url(redis_url) as redis:
        while redis.zcard(stock.QUEUE) and time.time() < last_s + _GRACE_S:
            time.sleep(0.5)


def _used_bytes(shop: Workshop) -> int:
    with Redis.from_url(shop.installation.redis_url, socket_timeout=60) as redis:
        return int(redis.info("memory")["used_memory"])
