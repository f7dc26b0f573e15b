"""What goes wrong when."""

import random
from collections.abc import Callable

from model import oracle
from model.events import Faults, How, Move, StoreFault
from model.keyspace import STORES
from model.orders import BUSY_S, Order
from model.simulation import CROWD, INSTANCES

SKEW_S = 0.02
"""How far the clocks of two primaries may be apart that hand slots to each other."""

_ANYWHERE = ("kill_gateway", "kill_worker", "stall_gateway", "stall_worker", "lost_request", "lost_reply")
"""Faults that may strike at any I/O."""

_STORE: dict[str, tuple[float, float, How]] = {
    "redis restarted": (0.05, 8, "down"),
    "redis stopped": (0.5, 10, "stopped"),
    "redis failover": (1, 10, "failover"),
    "redis cut off": (0.5, 6, "cut"),
}
"""For how long at the least and at the most a primary is away, and how."""


def faults_of(dice: random.Random, kind: str, orders: list[Order]) -> tuple[str, Faults]:
    """Draw the faults of a kind of scenario; returns the kind, which says by name what is drawn freely."""
    if kind == "calm":
        return kind, Faults()
    if kind == "storm":
        return kind, _storm(dice)
    if kind == "crowd":
        return kind, _crowd_fails(dice)
    if kind.startswith("single"):
        name = kind.removeprefix("single").strip() or dice.choice(tuple(oracle.BOUNDS))
        return f"single {name}", _single(dice, orders, name)
    faults = Faults(until=BUSY_S + 15, most_kills=6)
    _FOCUS[kind](dice, faults)
    return kind, faults


def homes(dice: random.Random) -> dict[str, int]:
    """Spread the instances over the primaries: the two that matter mostly apart."""
    first = dice.choice(STORES)
    homes = {name: dice.choice(STORES) for name in INSTANCES}
    return {**homes, "i1": first, "i2": 1 - first if dice.random() < 0.8 else first}


def spread(dice: random.Random, orders: list[Order], faults: Faults) -> None:
    """Decide which primary each fault of a store strikes, and how far their clocks are apart."""
    # What moves from one clock to another is early or late by their difference.
    faults.skew_s = dice.uniform(-1, 1) * (SKEW_S if faults.moves else 1.0)
    struck = faults.homes[dice.choice(orders).chat.instance_id]
    store = struck if dice.random() < 0.85 else 1 - struck
    both = dice.random() < 0.25
    faults.store = [one for fault in faults.store for one in _strike(dice, fault, store, both=both)]
    faults.clock = [(at, step_s, number) for at, step_s, _ in faults.clock for number in (STORES if both else (store,))]


def _strike(dice: random.Random, fault: StoreFault, store: int, *, both: bool) -> list[StoreFault]:
    copied_s = dice.uniform(0, 6) if dice.random() < 0.5 else None
    fault = fault._replace(store=store, copied_s=copied_s)
    return [fault, fault._replace(store=1 - store)] if both else [fault]


def _crowd_fails(dice: random.Random) -> Faults:
    """Every session of the crowd hangs, or is out of reach for it: what it may hold of the connections is taken."""
    since, how = dice.uniform(2.5, 4.0), dice.choice(("hangs", "hangs", "down"))
    return Faults(upstream=[(since, since + dice.uniform(5, 20), how, name) for name in CROWD])


def _storm(dice: random.Random) -> Faults:
    faults = Faults(until=BUSY_S + 15, most_kills=dice.randint(1, 5), silent=dice.choice((0.0, 0.3)))
    p = dice.choice((0.01, 0.03, 0.08))
    for _ in range(dice.randint(1, 4)):
        sort = dice.randrange(len(_ANYWHERE) + len(_IN_A_STORM))
        if sort < len(_ANYWHERE):
            setattr(faults, _ANYWHERE[sort], p)
        else:
            _IN_A_STORM[sort - len(_ANYWHERE)](dice, faults)
    return faults


def _notices_lost(dice: random.Random, faults: Faults) -> None:
    faults.lost_notice = 0.5


def _store_away(dice: random.Random, faults: Faults) -> None:
    how: How = dice.choice(("down", "stopped", "failover", "cut"))
    faults.store.append(_store_fault(dice.uniform(0, BUSY_S), dice.uniform(0.05, 10), how))


def _workers_down(dice: random.Random, faults: Faults) -> None:
    since = dice.uniform(0, BUSY_S)
    faults.workers_down.append((since, since + dice.uniform(1, 20)))


def _slots_move(dice: random.Random, faults: Faults) -> None:
    faults.moves = _moves(dice, dice.choice((1, 1, 2)))


def _workers_leave(dice: random.Random, faults: Faults) -> None:
    faults.leaves += [(dice.uniform(0, BUSY_S), name) for name in ("w1", "w2")]


def _upstream_fails(dice: random.Random, faults: Faults) -> None:
    faults.upstream.append(_upstream_window(dice))


_IN_A_STORM = (_notices_lost, _store_away, _workers_down, _slots_move, _workers_leave, _upstream_fails)


def _store_fault(since: float, seconds: float, how: How) -> StoreFault:
    return StoreFault(since, since + seconds, how, 0)


def _moves(dice: random.Random, count: int) -> list[Move]:
    """A partition moves, and perhaps back, one move after the other."""
    moments = sorted(dice.uniform(0, BUSY_S) for _ in range(count))
    name = dice.choice(("i1", "i2"))
    ends = [*moments[1:], moments[-1] + 10]
    return [Move(at, min(at + dice.uniform(0.05, 3), end - 0.001), name) for at, end in zip(moments, ends, strict=True)]


# One sort of fault, many times over, on one chat.


def _stalls(dice: random.Random, faults: Faults) -> None:
    faults.stall_gateway, faults.stall_worker = 0.08, 0.03


def _commands_stopped(dice: random.Random, faults: Faults) -> None:
    # For longer than the record of a newer command that was obeyed meanwhile lives.
    faults.stall_command, faults.stall_s, faults.until = 0.05, (31, 40), 20


def _kills(dice: random.Random, faults: Faults) -> None:
    faults.kill_gateway, faults.kill_worker = 0.08, 0.03
    faults.upstream = _windows(dice, 3, 1.5, "late")


def _upstreams(dice: random.Random, faults: Faults) -> None:
    faults.upstream = [(since, to, how, "i1") for since, to, how, _ in (_upstream_window(dice) for _ in range(3))]


def _rejects(dice: random.Random, faults: Faults) -> None:
    faults.kill_gateway = 0.03
    faults.upstream = _windows(dice, 8, 1.0, "rejects")


def _acts_late(dice: random.Random, faults: Faults) -> None:
    faults.upstream = [(0.5, 1.5, "late", "i1")]


def _left_by_the_dead(dice: random.Random, faults: Faults) -> None:
    faults.upstream = [(4.5, 5.5, "late", "i1")]
    faults.workers_down = [(5.6, 6.0)]
    faults.store.append(_store_fault(12.0, dice.uniform(0.1, 0.5), "down"))


def _fails_over_meanwhile(dice: random.Random, faults: Faults) -> None:
    faults.store.append(_store_fault(dice.uniform(4.9, 4.92), dice.uniform(0.5, 1.5), "failover"))


def _fails_over_and_rejects(dice: random.Random, faults: Faults) -> None:
    _fails_over_meanwhile(dice, faults)
    faults.upstream = [(4.85, 4.99, "rejects", "i1")]


def _lost_replies(dice: random.Random, faults: Faults) -> None:
    faults.lost_reply, faults.silent = 0.15, 0.3


def _workers(dice: random.Random, faults: Faults) -> None:
    faults.kill_worker, faults.stall_worker, faults.stall_s = 0.02, 0.03, (3, 9)
    faults.leaves = [(dice.uniform(0, BUSY_S), name) for name in ("w1", "w2", "w1", "w2")]
    faults.upstream = _windows(dice, 2, 5, "slow")


def _moves_to_and_fro(dice: random.Random, faults: Faults) -> None:
    faults.moves = [move._replace(instance="i1") for move in _moves(dice, 5)]
    faults.upstream = _windows(dice, 2, 4, "slow")


def _restarts(dice: random.Random, faults: Faults) -> None:
    for _ in range(4):
        how: How = dice.choice(("down", "failover"))
        faults.store.append(_store_fault(dice.uniform(0, BUSY_S), dice.uniform(0.05, 4), how))
    faults.upstream = _windows(dice, 2, 4, "slow")


def _messages(dice: random.Random, faults: Faults) -> None:
    faults.lost_reply, faults.kill_gateway = 0.05, 0.01
    faults.store.append(_store_fault(dice.uniform(0, BUSY_S), dice.uniform(0.5, 6), "down"))
    faults.upstream = _windows(dice, 4, 1.5, "rejects")


def _away_for_a_message(dice: random.Random, faults: Faults) -> None:
    faults.store.append(_store_fault(3.0, dice.uniform(1.5, 6), "down"))


def _repeats(dice: random.Random, faults: Faults) -> None:
    faults.kill_worker = 0.03
    faults.upstream = _windows(dice, 4, 1.5, "rejects")


_FOCUS: dict[str, Callable[[random.Random, Faults], None]] = {
    "stalls": _stalls,
    "commands stopped": _commands_stopped,
    "kills": _kills,
    "upstream": _upstreams,
    "rejects": _rejects,
    "acts late": _acts_late,
    "left by the dead": _left_by_the_dead,
    "rejected while redis fails over": _fails_over_and_rejects,
    "paused while redis fails over": _fails_over_meanwhile,
    "lost replies": _lost_replies,
    "workers": _workers,
    "moves": _moves_to_and_fro,
    "restarts": _restarts,
    "messages": _messages,
    "a message reported late": _messages,
    "a message while redis is away": _away_for_a_message,
    "repeats": _repeats,
}


def _windows(dice: random.Random, count: int, seconds: float, how: str) -> list[tuple[float, float, str, str]]:
    return [(at, at + seconds, how, "i1") for at in (dice.uniform(0, BUSY_S) for _ in range(count))]


def _upstream_window(dice: random.Random) -> tuple[float, float, str, str]:
    since = dice.uniform(0, BUSY_S)
    how = dice.choice(("rejects", "down", "hangs", "lost_reply", "slow", "late", "flaps", "not_connected"))
    return since, since + dice.uniform(0.5, 15), how, dice.choice(("i1", "i2"))


def _single(dice: random.Random, orders: list[Order], name: str) -> Faults:
    """Exactly one fault, at a moment when something is going on."""
    order = dice.choice(orders)
    moment = max(0.05, order.at + order.seconds * dice.choice((0, 0, 1, 1, dice.random())) + dice.uniform(-0.02, 0.06))
    faults = Faults(most_kills=1)
    if name in _STORE:
        least_s, most_s, how = _STORE[name]
        faults.store.append(_store_fault(moment, dice.uniform(least_s, most_s), how))
        if how == "cut":
            faults.latency_s = (0.001, 0.012)
    elif name.startswith("upstream "):
        how_it_fails = name.removeprefix("upstream ")
        faults.upstream.append((moment, moment + dice.uniform(0.5, 12), how_it_fails, order.chat.instance_id))
    elif name.startswith("clock set"):
        step_s = dice.uniform(0.5, 20)
        faults.clock.append((moment, step_s if name == "clock set forward" else -step_s, 0))
    else:
        _befall(dice, faults, name, moment, order.chat.instance_id)
    return faults


def _befall(dice: random.Random, faults: Faults, name: str, moment: float, instance: str) -> None:
    match name:
        case "gateway killed":
            faults.kill_at = (dice.choice(("g1", "g2")), dice.randint(1, 30), "")
        case "worker killed":
            faults.kill_at = (dice.choice(("w1", "w2")), dice.randint(1, 60), "")
        case "worker leaves":
            faults.leaves.append((moment, dice.choice(("w1", "w2"))))
        case "all workers down":
            faults.workers_down.append((moment, moment + dice.uniform(0.5, 15)))
        case "redis restarted at a claim":
            faults.down_at_claim = dice.uniform(0.05, 8)
        case "redis restarted between":
            faults.store.append(_store_fault(dice.uniform(5.7, 6.9), dice.uniform(0.05, 0.3), "down"))
        case "redis cut off between":
            faults.store.append(_store_fault(dice.uniform(5.05, 5.5), dice.uniform(2.05, 3.2), "cut"))
        case "slots move":
            faults.moves.append(Move(moment, moment + dice.uniform(0.05, 3), instance))
        case "notices lost":
            faults.lost_notice = 1.0
        case _:
            raise AssertionError(name)
