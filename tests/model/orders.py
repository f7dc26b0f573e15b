"""Who commands what when."""

import random
from dataclasses import dataclass, replace

from gateway.presence.model import Chat, State
from gateway.presence.steps import ChatKey
from model.simulation import CROWD

CHATS = (
    ChatKey("i1", Chat("5511900000001@s.whatsapp.net")),
    ChatKey("i1", Chat("5511900000002@s.whatsapp.net")),
    ChatKey("i2", Chat("5511900000001@s.whatsapp.net")),  # another tenant's same number
)
BUSY_S = 25.0

BETWEEN = "single redis restarted between"
"""Right after one chat was refreshed while another was settled."""

CUT_BETWEEN = "single redis cut off between"
"""While one chat is refreshed."""

_SECONDS = (0, 1, 1, 2, 3, 3, 5, 6, 8, 10, 20, 30)
_CROWD_S, _OWED_BY_EACH = 4, 3


@dataclass(frozen=True)
class Order:
    """One command of a client."""

    at: float
    chat: ChatKey
    state: State
    seconds: int
    is_message: bool = False
    late_s: float = 0.0  # so long after it was sent a message is reported


def orders_of(dice: random.Random, kind: str) -> list[Order]:
    """Draw the commands of a kind of scenario; one sort of fault, many times over, is played on one chat."""
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(dice)
    orders = _orders(dice, longest_s=60 if kind == "calm" else 30)
    is_mixed = kind in {"calm", "storm"} or kind.startswith("single")
    return orders if is_mixed else [replace(order, chat=CHATS[0]) for order in orders]


def _orders(dice: random.Random, *, longest_s: int) -> list[Order]:
    orders: list[Order] = []
    at = 0.1
    for _ in range(dice.randint(3, 12)):
        # Bursts on one chat are what two gateways fight over.
        burst = orders and dice.random() < 0.35
        at = at + dice.uniform(0, 0.03) if burst else dice.uniform(0.1, BUSY_S)
        chat = orders[-1].chat if burst else dice.choice(CHATS)
        state = dice.choices((State.TYPING, State.RECORDING, State.PAUSED), (6, 3, 2))[0]
        seconds = 0 if state is State.PAUSED else dice.choice((*_SECONDS, longest_s))
        orders.append(Order(at, chat, state, seconds))
    return sorted(orders, key=lambda order: order.at)


def _settled_meanwhile(dice: random.Random) -> list[Order]:
    """One indicator, and another of the same instance that ends while the first is refreshed."""
    beside = [Order(dice.uniform(4.8, 5.2), CHATS[1], State.PAUSED, 0) for _ in range(2)]
    return [Order(dice.uniform(1.0, 1.1), CHATS[0], State.TYPING, 6), *beside]


def _left_by_the_dead(dice: random.Random) -> list[Order]:
    """One that is refreshed by a worker that dies of it, and a newer one once that is noticed."""
    return [Order(1.0, CHATS[0], State.TYPING, 60), Order(dice.uniform(11.0, 11.5), CHATS[0], State.RECORDING, 3)]


def _rejected_late(dice: random.Random) -> list[Order]:
    """One that is held, another over it, and a third that the upstream rejects."""
    third = Order(4.9, CHATS[0], State.TYPING, 8)
    return [Order(1.0, CHATS[0], State.TYPING, 60), Order(4.6, CHATS[0], State.RECORDING, 6), third]


def _paused_late(dice: random.Random) -> list[Order]:
    """One that is paused when it is all but time to tell it again."""
    return [Order(1.0, CHATS[0], State.TYPING, 60), Order(4.9, CHATS[0], State.PAUSED, 0)]


def _late_report(dice: random.Random) -> list[Order]:
    """One indicator, its message, which is reported later, and perhaps another indicator before it or after."""
    at = dice.uniform(8.0, 55.0)
    late_s = dice.uniform(3.0, at - 2.0)
    report = Order(at, CHATS[0], State.PAUSED, 0, is_message=True, late_s=late_s)
    other = Order(dice.uniform(2.0, at - 0.5), CHATS[0], State.RECORDING, 60)
    return [Order(1.0, CHATS[0], State.TYPING, 60), *([other] if dice.random() < 0.6 else []), report]


def _sent_while_away(dice: random.Random) -> list[Order]:
    """One indicator, and its message while Redis is away."""
    sent = Order(dice.uniform(3.2, 4.2), CHATS[0], State.PAUSED, 0, is_message=True)
    return [Order(1.0, CHATS[0], State.TYPING, 60), sent]


def _after_what_acts_late(dice: random.Random) -> list[Order]:
    """One that the upstream may act on late, and another that is refreshed meanwhile."""
    return [Order(1.0, CHATS[0], State.TYPING, 30), Order(dice.uniform(6, 7), CHATS[0], State.TYPING, 6)]


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
        orders.append(Order(dice.uniform(0.1, BUSY_S), chat, State.TYPING, dice.choice((1, 2, 3, 6))))
    return sorted(orders, key=lambda order: order.at)


_SPECIAL = {
    "crowd": _crowd,
    BETWEEN: _settled_meanwhile,
    CUT_BETWEEN: _settled_meanwhile,
    "rejected while redis fails over": _rejected_late,
    "paused while redis fails over": _paused_late,
    "left by the dead": _left_by_the_dead,
    "a message reported late": _late_report,
    "a message while redis is away": _sent_while_away,
    "acts late": _after_what_acts_late,
}


def side_by_side(dice: random.Random, orders: list[Order]) -> list[Order]:
    """Let other chats of the same instances be busy at the same times."""
    beside = [
        replace(order, chat=order.chat._replace(chat=Chat(f"55117{number:08}@s.whatsapp.net")), at=at)
        for number in range(2)
        for order in orders
        if (at := order.at + dice.uniform(-0.6, 0.6)) > 0
    ]
    return sorted([*orders, *beside], key=lambda order: order.at)


def talk(dice: random.Random, orders: list[Order]) -> list[Order]:
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
