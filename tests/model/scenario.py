"""What a seed stands for: who commands what when, and what goes wrong meanwhile."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from gateway.presence.model import Chat, State
from gateway.presence.ports import ChatKey
from model import oracle
from model.keyspace import Keyspace
from model.loop import run as run_virtually
from model.simulation import CROWD, NATURAL_S, Faults, Node, World

CHATS = (
    ChatKey("i1", Chat("5511900000001@s.whatsapp.net")),
    ChatKey("i1", Chat("5511900000002@s.whatsapp.net")),
    ChatKey("i2", Chat("5511900000001@s.whatsapp.net")),  # another tenant's same number
)
_SECONDS = (0, 1, 1, 2, 3, 3, 5, 5, 8, 12, 20, 30)
_BUSY_S = 25.0
_NEVER_S = 1e8
_TAIL_S = 70.0  # stops last 30 s, echoes 16, and a closed record lives for 30

_ONE_CROWD_IN = 40
_CROWD_S, _OWED_BY_EACH = 4, 3

_ANYWHERE = ("kill_gateway", "kill_worker", "stall_gateway", "stall_worker", "lost_request", "lost_reply")
"""Faults that may strike at any I/O."""

Mutate = Callable[[Node], None]


@dataclass(frozen=True)
class Order:
    """One command of a client."""

    at: float
    chat: ChatKey
    state: State
    seconds: int
    is_message: bool = False
    late_s: float = 0.0  # so long after it was sent a message is reported


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
    if kind is None and seed % _ONE_CROWD_IN == 0:
        kind = "crowd"
    drawn, drawn_freely = dice.random(), kind is None
    kind = kind or ("calm" if drawn < 0.1 else "single" if drawn < 0.4 else "storm")
    orders = _orders(dice, calm=kind == "calm") if kind != "crowd" else _crowd(dice)
    if drawn_freely or kind in {"messages", "repeats"}:
        orders = _talk(random.Random(seed + 1), orders)
    if kind == "calm":
        faults: Faults | tuple[str, Faults] = Faults()
    elif kind.startswith("single"):
        faults = _single(dice, orders, kind.removeprefix("single").strip())
    elif kind == "storm":
        faults = _storm(dice)
    elif kind == "crowd":
        faults = _crowd_fails(dice)
    else:
        orders = [replace(order, chat=CHATS[0]) for order in orders]
        if kind == "a message while redis is away":
            sent = Order(dice.uniform(3.2, 4.2), CHATS[0], State.PAUSED, 0, is_message=True)
            orders = [Order(1.0, CHATS[0], State.TYPING, 60), sent]
        if kind == "a message reported late":
            orders = _late_report(dice)
        faults = _focus(dice, kind)
    if isinstance(faults, tuple):
        kind, faults = f"single {faults[0]}", faults[1]
    windows = [window[1] for window in faults.store] + [window[1] for window in faults.upstream]
    windows += [to for _, to in faults.workers_down] + [at + abs(step_s) for at, step_s in faults.clock]
    windows += [faults.until + faults.stall_s[1]] if faults.stall_command else []
    last = max(
        [order.at + max(order.seconds, NATURAL_S) for order in orders]
        + windows
        + [faults.until if faults.until < _NEVER_S else 0.0]
    )
    return Scenario(seed, kind, orders, faults, last + _TAIL_S)


def _orders(dice: random.Random, *, calm: bool) -> list[Order]:
    orders: list[Order] = []
    at = 0.1
    for _ in range(dice.randint(3, 12)):
        # Bursts on one chat are what two gateways fight over.
        burst = orders and dice.random() < 0.35
        at = at + dice.uniform(0, 0.03) if burst else dice.uniform(0.1, _BUSY_S)
        chat = orders[-1].chat if burst else dice.choice(CHATS)
        state = dice.choices((State.TYPING, State.RECORDING, State.PAUSED), (6, 3, 2))[0]
        seconds = 0 if state is State.PAUSED else dice.choice((*_SECONDS, 60) if calm else _SECONDS)
        orders.append(Order(at, chat, state, seconds))
    return sorted(orders, key=lambda order: order.at)


def _late_report(dice: random.Random) -> list[Order]:
    """One indicator, its message, which is reported later, and perhaps another indicator before it or after."""
    at = dice.uniform(8.0, 55.0)
    late_s = dice.uniform(3.0, at - 2.0)
    report = Order(at, CHATS[0], State.PAUSED, 0, is_message=True, late_s=late_s)
    other = Order(dice.uniform(2.0, at - 0.5), CHATS[0], State.RECORDING, 60)
    return [Order(1.0, CHATS[0], State.TYPING, 60), *([other] if dice.random() < 0.6 else []), report]


def _talk(dice: random.Random, orders: list[Order]) -> list[Order]:
    """Let messages arrive, and agents repeat themselves, as real callers do."""
    talk: list[Order] = []
    for order in orders:
        talk.append(order)
        if order.state is State.PAUSED:
            talk[-1] = replace(order, is_message=dice.random() < 0.5)
            continue
        spacing_s = dice.choice((0.5, 2.0, 3.9))
        talk += [replace(order, at=order.at + (number + 1) * spacing_s) for number in range(dice.choice((0, 0, 1, 3)))]
        if dice.random() < 0.4:
            sent = Order(talk[-1].at + dice.uniform(0.0, 4.0), order.chat, State.PAUSED, 0, is_message=True)
            talk.append(sent)
            if dice.random() < 0.3:
                talk.append(replace(order, at=sent.at + dice.uniform(0.0, 0.05)))
    return sorted(talk, key=lambda order: order.at)


def _crowd(dice: random.Random) -> list[Order]:
    """One account owes many pauses at once; two others go about their business, one of them on the same origin."""
    chats = [
        ChatKey(name, Chat(f"55118{number:08}@s.whatsapp.net")) for name in CROWD for number in range(_OWED_BY_EACH)
    ]
    begun = dice.uniform(0.1, 2.0)
    orders = [Order(begun + dice.uniform(0, 0.3), chat, State.TYPING, _CROWD_S) for chat in chats]
    for number in range(14):
        whose = dice.choice(("i1", "i2"))
        chat = ChatKey(whose, Chat(f"55119{number:08}@s.whatsapp.net"))
        orders.append(Order(dice.uniform(0.1, _BUSY_S), chat, State.TYPING, dice.choice((1, 2, 3, 6))))
    return sorted(orders, key=lambda order: order.at)


def _crowd_fails(dice: random.Random) -> Faults:
    """Every session of the crowd hangs, or is out of reach for it: what it may hold of the connections is taken."""
    since, how = dice.uniform(2.5, 4.0), dice.choice(("hangs", "hangs", "down"))
    return Faults(upstream=[(since, since + dice.uniform(5, 20), how, name) for name in CROWD])


def _storm(dice: random.Random) -> Faults:
    faults = Faults(until=_BUSY_S + 15, most_kills=dice.randint(1, 5), silent=dice.choice((0.0, 0.3)))
    p = dice.choice((0.01, 0.03, 0.08))
    for _ in range(dice.randint(1, 4)):
        match dice.randrange(10):
            case sort if sort < len(_ANYWHERE):
                setattr(faults, _ANYWHERE[sort], p)
            case 6:
                faults.queue_loss, faults.duplicate_job = 0.5, 0.2
            case 7:
                since = dice.uniform(0, _BUSY_S)
                how = dice.choice(("down", "stopped", "failover"))
                faults.store.append((since, since + dice.uniform(0.05, 10), how))
            case 8:
                since = dice.uniform(0, _BUSY_S)
                faults.workers_down.append((since, since + dice.uniform(1, 20)))
            case _:
                faults.upstream.append(_upstream_window(dice))
    return faults


def _focus(dice: random.Random, kind: str) -> Faults:
    """One sort of fault, many times over, on one chat."""
    faults = Faults(until=_BUSY_S + 15, most_kills=6)
    match kind:
        case "stalls":
            faults.stall_gateway, faults.stall_worker = 0.08, 0.03
        case "commands stopped":
            # For longer than the record of a newer command that was obeyed meanwhile lives.
            faults.stall_command, faults.stall_s, faults.until = 0.05, (31, 40), 20
        case "kills":
            faults.kill_gateway, faults.kill_worker = 0.08, 0.03
            moments = [dice.uniform(0, _BUSY_S) for _ in range(3)]
            faults.upstream = [(at, at + 1.5, "late", "i1") for at in moments]
        case "upstream":
            faults.upstream = [_upstream_window(dice) for _ in range(3)]
            faults.upstream = [(since, to, how, "i1") for since, to, how, _ in faults.upstream]
        case "rejects":
            faults.upstream = [(at, at + 1.0, "rejects", "i1") for at in (dice.uniform(0, _BUSY_S) for _ in range(8))]
        case "lost replies":
            faults.lost_reply, faults.silent = 0.15, 0.3
        case "messages" | "repeats" | "a message while redis is away" | "a message reported late":
            _disturb_talk(dice, kind, faults)
        case "queue":
            faults.queue_loss, faults.duplicate_job = 0.5, 0.6
        case _:
            raise AssertionError(kind)
    return faults


def _disturb_talk(dice: random.Random, kind: str, faults: Faults) -> None:
    """What goes wrong while messages arrive and callers repeat themselves."""
    if kind == "a message while redis is away":
        faults.store.append((3.0, 3.0 + dice.uniform(1.5, 6), "down"))
        return
    if kind in {"messages", "a message reported late"}:
        faults.lost_reply, faults.kill_gateway = 0.05, 0.01
        since = dice.uniform(0, _BUSY_S)
        faults.store.append((since, since + dice.uniform(0.5, 6), "down"))
    else:
        faults.kill_worker = 0.03
    faults.upstream = [(at, at + 1.5, "rejects", "i1") for at in (dice.uniform(0, _BUSY_S) for _ in range(4))]


def _upstream_window(dice: random.Random) -> tuple[float, float, str, str]:
    since = dice.uniform(0, _BUSY_S)
    how = dice.choice(("rejects", "down", "hangs", "lost_reply", "slow", "late", "flaps", "not_connected"))
    return since, since + dice.uniform(0.5, 15), how, dice.choice(("i1", "i2"))


def _single(dice: random.Random, orders: list[Order], name: str) -> tuple[str, Faults]:
    """Exactly one fault, at a moment when something is going on."""
    order = dice.choice(orders)
    moment = max(0.05, order.at + order.seconds * dice.choice((0, 0, 1, 1, dice.random())) + dice.uniform(-0.02, 0.06))
    name = name or dice.choice(tuple(oracle.BOUNDS))
    faults = Faults(most_kills=1)
    match name:
        case "gateway killed":
            faults.kill_at = (dice.choice(("g1", "g2")), dice.randint(1, 30), "")
        case "worker killed":
            faults.kill_at = (dice.choice(("w1", "w2")), dice.randint(20, 200), "")
        case "all workers down":
            faults.workers_down.append((moment, moment + dice.uniform(0.5, 15)))
        case "redis restarted":
            faults.store.append((moment, moment + dice.uniform(0.05, 8), "down"))
        case "redis restarted at a claim":
            faults.down_at_claim = dice.uniform(0.05, 8)
        case "redis stopped":
            faults.store.append((moment, moment + dice.uniform(0.5, 10), "stopped"))
        case "redis failover":
            faults.store.append((moment, moment + dice.uniform(1, 10), "failover"))
        case "clock set forward" | "clock set back":
            faults.clock.append((moment, dice.uniform(0.5, 20) * (1 if name == "clock set forward" else -1)))
        case "queue loses jobs":
            faults.queue_loss, faults.duplicate_job = 0.9, 0.3
        case _:
            how = name.removeprefix("upstream ")
            faults.upstream.append((moment, moment + dice.uniform(0.5, 12), how, order.chat.instance_id))
    return name, faults


def play(scenario: Scenario, keyspace: Keyspace, mutate: Mutate | None = None) -> Report:
    """Run a scenario to its end and ask the oracle."""
    return run_virtually(_play(scenario, keyspace, mutate))


async def _play(scenario: Scenario, keyspace: Keyspace, mutate: Mutate | None) -> Report:
    world = World(keyspace, scenario.seed, scenario.faults, mutate)
    for order in scenario.orders:
        command = partial(
            world.client, order.chat, order.state, order.seconds, is_message=order.is_message, late_s=order.late_s
        )
        world.loop.call_at(order.at, command)
    await asyncio.sleep(scenario.ends_at)
    objections, lateness = oracle.judge(world, scenario.kind, scenario.ends_at)
    return Report(scenario, objections, world.trace, lateness)
