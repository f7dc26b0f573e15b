"""What a gateway remembers of its promises, and when it says them again."""

from dataclasses import dataclass, field

import pytest

from gateway.presence.model import Chat, State
from gateway.presence.replay import LOOK_EVERY_S, Promises
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy

REFRESH_POLICY = RefreshPolicy(4.0, 5.5)
KEY = ChatKey("i1", Chat("5511999999999@s.whatsapp.net"))
ELSEWHERE = ChatKey("i2", Chat("5511999999999@s.whatsapp.net"))
OTHER = ChatKey("i1", Chat("5511888888888@s.whatsapp.net"))


@dataclass
class Store:
    """A Redis with a name, which holds every partition but one."""

    name: str | None = "s1"
    others: str = "o1"
    now_s: float = 100.0
    told: list[tuple[ChatKey, State, int | None, str]] = field(default_factory=list)
    asked_at_s: list[float] = field(default_factory=list)

    async def servers(self) -> list[str]:
        self.asked_at_s.append(self.now_s)
        return [self.name or "", self.others]

    @staticmethod
    def partition(key: ChatKey) -> int:
        return int(key.instance_id == ELSEWHERE.instance_id)

    async def replay(
        self, key: ChatKey, op: State, left_ms: int | None, *, ticket: str, refresh: RefreshPolicy
    ) -> bool:
        self.told.append((key, op, left_ms, ticket))
        return True


def promises_of(store: Store) -> Promises:
    return Promises(store, monotonic=lambda: store.now_s)  # type: ignore[arg-type]


def keep(promises: Promises, key: ChatKey, seconds: int, ticket: str) -> None:
    promises.remember(
        Grant(key, "me", State.TYPING, 0.0, ticket=ticket), REFRESH_POLICY, seconds * 1000, answered_ms_ago=0
    )


async def test_a_stranger_is_told_what_still_matters_with_the_time_that_is_left() -> None:
    store = Store()
    promises = promises_of(store)
    await promises.look()
    keep(promises, KEY, 30, "7")
    keep(promises, OTHER, 0, "8")
    store.now_s += 10
    await promises.look()
    assert store.told == []
    store.name = "s2"
    assert await promises.look() == 2
    assert store.told == [(KEY, State.TYPING, 20_000, "7"), (OTHER, State.TYPING, None, "8")]


async def test_what_ended_while_redis_was_away_is_still_said() -> None:
    store = Store()
    promises = promises_of(store)
    await promises.look()
    keep(promises, KEY, 5, "7")
    store.name = None
    store.now_s += 60
    assert await promises.look() == 0
    store.name = "s2"
    await promises.look()
    assert store.told == [(KEY, State.TYPING, -55_000, "7")]


async def test_only_the_newest_command_of_a_chat_is_remembered_and_not_for_ever() -> None:
    store = Store()
    promises = promises_of(store)
    keep(promises, KEY, 30, "7")
    keep(promises, KEY, 5, "8")
    assert len(promises) == 1
    store.now_s += 20
    await promises.look()
    await promises.look()
    store.now_s += 20
    await promises.look()
    assert len(promises) == 0


async def test_only_what_a_stranger_holds_is_said_again() -> None:
    store = Store()
    promises = promises_of(store)
    await promises.look()
    keep(promises, KEY, 30, "7")
    keep(promises, ELSEWHERE, 30, "8")
    store.others = "o2"
    assert await promises.look() == 1
    assert store.told == [(ELSEWHERE, State.TYPING, 30_000, "8")]
    store.name = "s2"
    assert await promises.look() == 1
    assert store.told[1:] == [(KEY, State.TYPING, 30_000, "7")]


class Over(Exception):
    """A test has seen enough."""


async def test_redis_is_asked_twice_a_second_while_anything_is_remembered_and_else_seldom() -> None:
    store = Store(now_s=0.0)

    async def sleep(seconds: float) -> None:
        store.now_s += seconds
        if store.now_s == 7.0:
            keep(promises, KEY, 600, "7")
        if store.now_s == 10.0:
            raise Over

    promises = Promises(store, monotonic=lambda: store.now_s, sleep=sleep)  # type: ignore[arg-type]
    with pytest.raises(Over):
        await promises.watch()
    assert store.asked_at_s == [0.0, 5.0, *(7.0 + n * LOOK_EVERY_S for n in range(6))]
