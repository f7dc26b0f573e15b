"""How cost grows: with tenants, tokens, what is owed and commands/s; and whether its sum predicts a mixed run."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, cast

import uvloop
from redis import Redis

from comparison import lateness, stacks, tenants
from comparison.costs import measured
from comparison.lateness import ONE_WORKER, STEADY, STEADY_CASE, Case, Workshop
from comparison.load import closed_loop, open_loop
from comparison.ours import Installation
from comparison.plan import Plan
from comparison.processes import LOOPBACK
from comparison.samples import Figure, Load, Prediction, Results
from comparison.stacks import Stack
from comparison.tables import of
from comparison.tenants import Making, Tenant
from comparison.valkey import valkey

SOME, MANY = 1_000, 100_000
WHAT = "scale"
BASE_CASE = f"{SOME:,} tenants"

_WARM_UP_S = 1.0
_WARM_UP_ROUND = 90
_OPEN_ROUND = 50
"""Their chats are met by no other round."""

_SPENDERS, _MINUTE = 500, 100
_OWED = 20_000
_LATER_MS = 86_400_000
_SAMPLES = 1_000

_HELD_S = 6
"""What a command of the mixed run asks for: one refresh, and the pause."""
_LAST_S = 1.5
"""After the last pause was due."""


@dataclass(frozen=True)
class Crowd:
    """A gateway and so many tenants."""

    stack: Stack
    tenants: list[Tenant]
    making: Making
    bytes_each: float


@dataclass(frozen=True)
class Idle:
    """What one gateway, one worker and the Valkey that they look at take while nothing is asked: shares of a core."""

    gateway: float
    worker: float
    valkey: float

    def figures(self, over: str) -> Iterator[Figure]:
        """Word them."""
        for role, share in (("gateway", self.gateway), ("worker", self.worker), ("Valkey of both", self.valkey)):
            yield Figure(what=f"an idle {role}", over=over, value=share * 1000, unit="ms of CPU a second")


@dataclass(frozen=True)
class Prices:
    """What the model says that each thing costs, in seconds of CPU: of `idle`, a second."""

    gateway_s: float
    valkey_s: float
    worker_wake_s: float
    valkey_wake_s: float
    idle: Idle

    def predict(self, commands: int, wakes: int, seconds: float) -> dict[str, float]:
        """Return the CPU seconds of each role."""
        return {
            "gateway": commands * self.gateway_s,
            "Valkey": commands * self.valkey_s + wakes * self.valkey_wake_s + seconds * self.idle.valkey,
            "worker": wakes * self.worker_wake_s + seconds * self.idle.worker,
        }

    def figures(self) -> Iterator[Figure]:
        """Word those that no other table has."""
        for role, price_s in (("worker", self.worker_wake_s), ("Valkey", self.valkey_wake_s)):
            what = f"a wake-up in the {role}, looks at the queue not counted"
            yield Figure(what=what, over=STEADY_CASE, value=price_s * 1e6, unit="us of CPU")


def growth(plan: Plan, results: Results) -> None:
    """Measure each of them."""
    _tenants(plan, results)
    with lateness.open_workshop(plan) as shop, plan.steps("scale", 3) as steps:
        steps.begin("what an owed pause consists of")
        results.figures += _owed(shop)
        steps.done()
        steps.begin("idle processes")
        idle = _idle(shop, plan.seconds)
        results.figures += idle.figures(f"{plan.seconds:g} s")
        steps.done()
        steps.begin("commands, refreshes and pauses, mixed")
        prices = _prices(plan, shop, results, idle)
        results.figures += prices.figures()
        results.predictions += _mixed(plan, shop, prices)
        steps.done()


@dataclass(frozen=True)
class Turn:
    """Some of a crowd's tenants ask: at a rate, or as fast as they are answered."""

    name: str
    crowd: Crowd
    active: list[Tenant]
    rate: float | None = None

    def take(self, number: int, seconds: float) -> Load:
        """Measure."""
        stack = self.crowd.stack
        stack = replace(stack, name=self.name, callers=tenants.callers(self.active, stack.callers, number))
        if self.rate is None:
            return closed_loop(stack, number, seconds, {}, what=WHAT)
        load = open_loop(stack, number + _OPEN_ROUND, self.rate, seconds)
        load.what = WHAT
        return load


def _tenants(plan: Plan, results: Results) -> None:
    """Let gateways with few and many tenants take turns."""
    seconds, rounds = max(1.0, plan.seconds / 4), (plan.rounds + 1) // 2
    with ExitStack() as stack:
        upstream_url, _ = stack.enter_context(stacks.open_upstream(plan.room("upstream")))
        crowds = [stack.enter_context(_crowd(plan.room("crowd"), upstream_url, count)) for count in (1, SOME, MANY)]
        many = crowds[-1]
        held = Figure(what="Redis for a tenant", over=f"{MANY:,} tenants", value=many.bytes_each, unit="bytes")
        results.figures += [held, *_window(many)]
        turns = _turns(plan, *crowds)
        with plan.steps("scale", len(turns) * (1 + rounds)) as steps:
            for turn in turns:
                steps.begin(f"warming up {turn.name}")
                turn.take(_WARM_UP_ROUND, _WARM_UP_S)
                steps.done()
            for number in range(rounds):
                for turn in turns:
                    steps.begin(turn.name)
                    results.loads.append(turn.take(number, seconds))
                    steps.done()


def _turns(plan: Plan, one: Crowd, some: Crowd, many: Crowd) -> list[Turn]:
    return [
        Turn("1 tenant", one, one.tenants),
        Turn(BASE_CASE, some, some.tenants),
        Turn(f"{MANY:,} tenants, {SOME:,} of them active", many, many.tenants[:SOME]),
        Turn(f"{MANY:,} tenants, all active", many, many.tenants),
        *(Turn(_at(rate), some, some.tenants, rate) for rate in sorted({100.0, 1_000.0, plan.rate})),
    ]


@contextmanager
def _crowd(folder: Path, upstream_url: str, count: int) -> Iterator[Crowd]:
    with valkey(folder / "valkey") as server:
        services = Installation(folder, server.url, upstream_url)
        making = uvloop.run(tenants.learn(services.settings, upstream_url))
        before = _held(server.url)
        made = making.make(count)
        each = (_held(server.url) - before) / count
        with services.serving(1) as pid:
            pids = {"gateway": pid, "Valkey": server.pid}
            yield Crowd(
                Stack("", f"{LOOPBACK}:{services.port}", folder / "callers", pids, server.url), made, making, each
            )


def _at(rate: float) -> str:
    return f"{BASE_CASE}, {rate:,g} commands/s"


def _window(crowd: Crowd) -> Iterator[Figure]:
    """Let some tokens spend a minute's requests."""
    url = cast("str", crowd.stack.redis_url)
    before = _held(url)
    with measured({"Valkey": crowd.stack.pids["Valkey"]}, None) as costs:
        crowd.making.spend(crowd.tenants[-_SPENDERS:], _MINUTE)
    what = f"Redis for a token that was used {_MINUTE} times within a minute"
    over = f"{_SPENDERS} tokens"
    yield Figure(what=what, over=over, value=(_held(url) - before) / _SPENDERS, unit="bytes")
    each_s = costs.cpu_s["Valkey"] / _SPENDERS / _MINUTE
    yield Figure(
        what="an admission by itself, in long pipelines", over=over, value=each_s * 1e6, unit="us of Valkey's CPU"
    )


def _owed(shop: Workshop) -> Iterator[Figure]:
    """Owe pauses, and see what each of them is made of."""
    url = shop.installation.redis_url
    before = _held(url)
    with measured({"Valkey": shop.valkey_pid}, None) as costs:
        owed = sum(1 for _ in shop.owing.owe(0, _OWED, lambda _: _LATER_MS))
    whole = (_held(url) - before) / _OWED
    parts = _parts(url)
    parts["the tables of all keys, and what is left"] = whole - sum(parts.values())
    parts["altogether"] = whole
    for what, size in parts.items():
        yield Figure(what=f"an owed pause: {what}", over=f"{_OWED:,} owed", value=size, unit="bytes")
    each_us = costs.cpu_s["Valkey"] / owed * 1e6
    what = "a promise and its settlement by themselves, in long pipelines"
    yield Figure(what=what, over=f"{_OWED:,} owed", value=each_us, unit="us of Valkey's CPU")


def _parts(url: str) -> dict[str, float]:
    with Redis.from_url(url, socket_timeout=60) as redis:

        def each(pattern: str) -> float:
            found = islice(redis.scan_iter(pattern, count=_SAMPLES), _SAMPLES)
            return median(_usage(redis, key) for key in found)

        return {
            "its chat's record (a hash)": each("pg:{??}:c:*"),
            "its chat's place among the instance's": _whole(redis, "pg:{??}:chats:*") / _OWED,
            "its instance's place in the queue": _whole(redis, "pg:{??}:queue") / _OWED,
        }


def _whole(redis: Redis, pattern: str) -> int:
    return sum(_usage(redis, key) for key in redis.scan_iter(pattern))


def _usage(redis: Redis, key: str | bytes) -> int:
    return int(cast("int", redis.memory_usage(key, samples=0)))


def _idle(shop: Workshop, seconds: float) -> Idle:
    """Run one of each while nothing is asked and nothing is due."""
    with shop.installation.serving(1) as gateway, shop.installation.working() as worker:
        time.sleep(1.0)
        with measured({"gateway": gateway, "worker": worker, "Valkey": shop.valkey_pid}, None) as costs:
            time.sleep(seconds)
    return Idle(*(spent_s / costs.seconds for spent_s in costs.cpu_s.values()))


def _mixed(plan: Plan, shop: Workshop, prices: Prices) -> Iterator[Prediction]:
    """Send commands, let their refreshes and pauses come, and compare the CPU with the sum of the prices."""
    name = f"{plan.rate:g} commands/s of {_HELD_S} s, 1 gateway, 1 worker"
    with shop.installation.serving(1) as gateway, shop.installation.working() as worker:
        pids = {"gateway": gateway, "worker": worker, "Valkey": shop.valkey_pid}
        callers = shop.installation.folder / "callers"
        callers.write_text(shop.callers)
        stack = Stack(name, f"{LOOPBACK}:{shop.installation.port}", callers, pids, shop.installation.redis_url)
        open_loop(stack, _WARM_UP_ROUND, plan.rate, _WARM_UP_S, duration_s=1)
        time.sleep(1 + _LAST_S)
        lateness.told(shop.installation.upstream_url)
        with measured(pids, stack.redis_url) as costs:
            load = open_loop(stack, 0, plan.rate, plan.seconds, duration_s=_HELD_S)
            time.sleep(_HELD_S + _LAST_S)
    wakes = len(lateness.told(shop.installation.upstream_url)) - load.requests
    over = f"{name}: {load.requests:,} commands, {wakes:,} wake-ups"
    for role, predicted_s in prices.predict(load.requests, wakes, costs.seconds).items():
        yield Prediction(role=role, over=over, predicted_s=predicted_s, measured_s=costs.cpu_s[role])


def _prices(plan: Plan, shop: Workshop, results: Results, idle: Idle) -> Prices:
    """Read them from what was measured: commands without wake-ups, and pauses without commands."""
    commands = of(results, WHAT)[_at(plan.rate)]
    pauses = [run for run in results.lateness if (run.what, run.stack) == (STEADY_CASE, ONE_WORKER)]
    if not pauses:
        pauses = [lateness.by_ours(shop, Case(STEADY_CASE, 4 * STEADY, STEADY), 0, 1)]
        results.lateness += pauses
    return Prices(
        gateway_s=median(load.cpu_s["gateway"] / load.requests for load in commands),
        valkey_s=median(load.cpu_s["Valkey"] / load.requests for load in commands),
        worker_wake_s=median((run.cpu_s["worker 1"] - run.seconds * idle.worker) / run.due for run in pauses),
        valkey_wake_s=median((run.cpu_s["Valkey"] - run.seconds * idle.valkey) / run.due for run in pauses),
        idle=idle,
    )


def _held(url: str) -> int:
    """Return what Redis holds, without what its clients are just saying."""
    with Redis.from_url(url, socket_timeout=60) as redis:
        info: dict[str, Any] = redis.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"])
