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
from comparison.costs import measured
from comparison.ours import Installation
from comparison.plan import Plan
from comparison.processes import LOOPBACK, free_port, program, running
from comparison.samples import Lateness, Memory, Results, percentiles
from comparison.stacks import NAMES
from comparison.valkey import valkey

BURST, BURST_S = 10_000, 0.5
STEADY = 1_000

STEADY_CASE, BURST_CASE = "1,000/s", "10,000 within 0.5 s"
ONE_WORKER, TWO_WORKERS = "ours, 1 worker", "ours, 2 workers"

_LATER_MS = 86_400_000
_OWES_AT_LEAST = 3_000
"""Pauses a second that are owed even on a slow machine; sets how long beforehand we begin."""

_GRACE_S = 30.0
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


def pauses(plan: Plan, results: Results) -> None:
    """Let one worker, two workers and stock arq take turns, then one worker with very many owed later."""
    steady = Case(STEADY_CASE, round(STEADY * plan.seconds * 2), STEADY)
    burst = Case(BURST_CASE, BURST, BURST / BURST_S)
    rounds = max(1, plan.rounds // 2)
    with (
        open_workshop(plan) as shop,
        valkey(plan.room("arq") / "valkey") as other,
        plan.steps("pauses", rounds * 5) as steps,
    ):
        for number in range(rounds):
            for case, workers in ((steady, (1,)), (burst, (1, 2))):
                for count in workers:
                    steps.begin(f"{case.what}, {count} of our workers")
                    results.lateness.append(by_ours(shop, case, number, count))
                    steps.done()
                steps.begin(f"{case.what}, stock arq")
                results.lateness.append(by_arq(other.url, case, number, plan.room("stock")))
                steps.done()


def owed_later(plan: Plan, results: Results) -> None:
    """Owe more and more, measure the memory, and see that what is due now does not suffer."""
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size < plan.owed] + [plan.owed]
    case = Case(f"{STEADY_CASE}, {plan.owed:,} owed later", round(STEADY * plan.seconds * 2), STEADY)
    with open_workshop(plan) as shop, plan.steps("owed later", len(sizes) + 1) as steps:
        empty, there = _used_bytes(shop), 0
        for size in sizes:
            steps.begin(f"until {size:,} are owed")
            began_s = time.monotonic()
            for _ in shop.owing.owe(10_000_000 + there, size - there, lambda _: _LATER_MS):
                pass
            took_s, there = time.monotonic() - began_s, size
            results.memory.append(Memory(owed=size, bytes_each=(_used_bytes(shop) - empty) / size, seconds=took_s))
            steps.done()
        steps.begin(case.what)
        results.lateness.append(by_ours(shop, case, 0, 1))
        steps.done()


@contextmanager
def open_workshop(plan: Plan) -> Iterator[Workshop]:
    """Run Valkey and the upstream that remembers."""
    folder, port = plan.room("workers"), free_port()
    with (
        running(program("upstream", port), folder / "upstream.log", port=port),
        valkey(folder / "valkey") as server,
    ):
        installation = Installation(folder, server.url, f"http://{LOOPBACK}:{port}")
        created = installation.create_account("bench", NAMES, per_minute=STEADY)
        owing = uvloop.run(owed.learn(installation.settings, [one.id for one in created]))
        yield Workshop(installation, server.pid, owing)


def by_ours(shop: Workshop, case: Case, number: int, workers: int) -> Lateness:
    """Run workers over pauses that were owed beforehand; each must reach the upstream."""
    with ExitStack() as stack:
        pids = [stack.enter_context(shop.installation.working()) for _ in range(workers)]
        roles = {"Valkey": shop.valkey_pid} | {f"worker {n}": pid for n, pid in enumerate(pids, 1)}
        _told(shop)
        begin_s = time.time() + case.lead_s
        due = dict(shop.owing.owe(0, case.count, owed.every(case.per_second, begin_s)))
        with measured(roles, None) as costs:
            arrived = _wait(shop, due, begin_s + case.lasts_s)
    late_ms = [(at - due[phone]) * 1000 for phone, at in arrived.items()]
    return _lateness(case, ONE_WORKER if workers == 1 else TWO_WORKERS, number, late_ms, costs.cpu_s)


def by_arq(redis_url: str, case: Case, number: int, folder: Path) -> Lateness:
    """Run arq's own worker over empty jobs that were enqueued beforehand."""
    path, file = redis_url.removeprefix("unix://"), folder / "late.json"
    with running(program("stock", path, file), folder / "log") as process:
        begin_s = time.time() + case.lead_s * 2
        uvloop.run(_enqueue(path, case, begin_s))
        with measured({"worker 1": process.pid}, None) as costs:
            _wait_for_arq(redis_url, begin_s + case.lasts_s)
    late_ms = msgspec.json.decode(file.read_bytes(), type=list[float])
    return _lateness(case, "arq stock, empty jobs", number, late_ms, costs.cpu_s)


def _lateness(case: Case, stack: str, number: int, late_ms: list[float], cpu_s: dict[str, float]) -> Lateness:
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
        cpu_s=cpu_s,
    )


def _wait(shop: Workshop, due: dict[str, float], last_s: float) -> dict[str, float]:
    """Collect when each pause first reached the upstream."""
    arrived: dict[str, float] = {}
    time.sleep(max(0.0, last_s - time.time()))
    while len(arrived) < len(due) and time.time() < last_s + _GRACE_S:
        time.sleep(0.5)
        for phone, state, at in _told(shop):
            if state == "paused" and phone in due:
                arrived.setdefault(phone, at)
    return arrived


def _told(shop: Workshop) -> list[tuple[str, str, float]]:
    with urlopen(f"{shop.installation.upstream_url}/told") as answer:
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
