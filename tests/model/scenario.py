"""What a seed stands for: who commands what when, and what goes wrong meanwhile."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from unittest.mock import patch

from gateway.store import partitions, redis
from model import oracle
from model.events import Faults
from model.keyspace import Keyspace
from model.link import are_absent, by_server
from model.loop import run as run_virtually
from model.node import NATURAL_S, Node
from model.orders import BETWEEN, CUT_BETWEEN, Order, orders_of, side_by_side, talk
from model.plans import faults_of, homes, spread
from model.simulation import World

_NEVER_S = 1e8
_TAIL_S = 70.0  # stops last 30 s, echoes 16, and a closed record lives for 30
_LOOK_S = 3.0
_ONE_CROWD_IN = 40

_SLUGGISH = {
    "single redis restarted",
    "single redis failover",
    "single slots move",
    "single redis cut off",
    "restarts",
    "moves",
}
"""What is played half of the time with upstreams that take their time, and several chats at a time."""

_source = cache(redis._source)  # thousands of processes read the same scripts

Mutate = Callable[[Node], None]


@dataclass
class Scenario:
    """Everything that a seed decides before the world starts."""

    seed: int
    kind: str
    orders: list[Order]
    faults: Faults
    ends_at: float


@dataclass
class Report:
    """One scenario's end: what the oracle objects to, and the timeline."""

    scenario: Scenario
    objections: list[str]
    trace: list[tuple[float, str]]
    lateness: list[float] = field(default_factory=list)

    def timeline(self) -> str:
        lines = [f"{at:9.3f}  {what}" for at, what in sorted(self.trace, key=lambda entry: entry[0])]
        return "\n".join(
            [
                f"seed {self.scenario.seed} ({self.scenario.kind}); replay: make replay SEED={self.scenario.seed}",
                *lines,
                *(f"VIOLATION {text}" for text in self.objections),
            ]
        )


def scenario_of(seed: int, kind: str | None = None) -> Scenario:
    """Draw a scenario: a tenth calm, three tenths with one fault out of the table, the rest with several at once."""
    dice = random.Random(seed)
    drawn_freely = kind is None
    kind = kind or _kind_of(seed, dice.random())
    orders = orders_of(dice, kind)
    if drawn_freely or kind in {"messages", "repeats"}:
        orders = talk(random.Random(seed + 1), orders)
    kind, faults = faults_of(dice, kind, orders)
    if kind in {BETWEEN, CUT_BETWEEN} or (kind in _SLUGGISH and seed % 2):
        faults.upstream += [(0.0, _NEVER_S, "sluggish", name) for name in ("i1", "i2")]
    if kind in _SLUGGISH and seed % 2:
        orders = side_by_side(random.Random(seed + 4), orders)
    faults.refused = 0.1 if seed % 3 == 0 else 0.0
    faults.homes = homes(random.Random(seed + 2))
    spread(random.Random(seed + 3), orders, faults)
    return Scenario(seed, kind, orders, faults, _over_at(orders, faults) + _TAIL_S)


def _kind_of(seed: int, drawn: float) -> str:
    if seed % _ONE_CROWD_IN == 0:
        return "crowd"
    return "calm" if drawn < 0.1 else "single" if drawn < 0.4 else "storm"


def _over_at(orders: list[Order], faults: Faults) -> float:
    """When everything has been asked, and nothing goes wrong any more."""
    moments = [order.at + max(order.seconds, NATURAL_S) for order in orders]
    moments += [fault.to for fault in faults.store]
    moments += [window[1] for window in faults.upstream if window[1] < _NEVER_S]
    moments += [move.to for move in faults.moves]
    moments += [to for _, to in faults.workers_down]
    moments += [at + abs(step_s) for at, step_s, _ in faults.clock]
    moments += [faults.until + faults.stall_s[1]] if faults.stall_command else []
    moments += [faults.until] if faults.until < _NEVER_S else []
    return max(moments)


def play(scenario: Scenario, keyspace: Keyspace, mutate: Mutate | None = None) -> Report:
    """Run a scenario to its end and ask the oracle."""
    servers = patch.multiple(partitions, by_server=by_server, are_absent=are_absent)
    with servers, patch.object(redis, "_source", _source):
        return run_virtually(_play(scenario, keyspace, mutate))


async def _play(scenario: Scenario, keyspace: Keyspace, mutate: Mutate | None) -> Report:
    used = frozenset(order.chat.instance_id for order in scenario.orders)
    world = World(keyspace, scenario.seed, scenario.faults, mutate, used)
    for order in scenario.orders:
        command = partial(
            world.client, order.chat, order.state, order.seconds, is_message=order.is_message, late_s=order.late_s
        )
        world.loop.call_at(order.at, command)
    await asyncio.sleep(scenario.ends_at - _TAIL_S)
    for _ in range(round(_TAIL_S / _LOOK_S)):
        if world.is_quiet():
            break
        await asyncio.sleep(_LOOK_S)
    objections, lateness = oracle.judge(world, scenario.kind, world.now)
    return Report(scenario, objections, world.trace, lateness)
