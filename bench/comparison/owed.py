"""Redis filled with owed pauses, fast: what the gateway's own store sends for one, repeated in pipelines.

One command's promise and settlement are made through `RedisIndicators` while Redis is watched (MONITOR). What was
seen is sent again for as many chats as wanted, only chat, instance and duration replaced. So the records are the
real ones, whatever their layout, and a million of them takes a minute or two.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from comparison.replay import Pipe, resp, watch
from gateway.presence.model import Chat, State
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy, Report
from gateway.settings import Settings
from gateway.store import keys
from gateway.wiring import open_services

_MODEL_PHONE, _WARM_UP_PHONE = "5511900000000", "5511700000000"
_MODEL_MS = 12_345_678
"""As many digits as any duration that is put in its place."""

_NO_REFRESH = RefreshPolicy(1e6, 1e6)
"""The upstream that is told once holds the indicator until its end: the worker's only work is the pause."""

_OWNER = "a-bench-of-ours"
_NEVER_US = "9000000000000000"
_DEADLINE, _ANSWERED_BY = 12, 16
"""Where the words of a promise and of its settlement have an instant of then (`promise.lua`, `settle.lua`)."""

_AT_ONCE = 500
_IN_FLIGHT = 3


class NotOwed(Exception):
    """Redis did not make the promises."""


@dataclass(frozen=True)
class Owing:
    """Owes pauses on chats of several instances, in turns; made by `learn`."""

    socket_path: str
    models: list[bytes]

    def owe(self, first: int, count: int, due_in_ms: Callable[[int], int]) -> Iterator[tuple[str, float]]:
        """Owe a pause on each of so many chats; yields their phones and when each is due, in Unix seconds.

        Args:
            first: the number of the first chat.
            count: how many.
            due_in_ms: how long the n-th, counted from 0, is to be shown from when it is sent.
        """
        numbers = iter(range(count))
        under_way: deque[list[tuple[str, int]]] = deque()
        with Pipe(self.socket_path) as pipe:
            while True:
                some = list(islice(numbers, _AT_ONCE))
                if some:
                    chats = [(_phone(first + number), due_in_ms(number)) for number in some]
                    pipe.send(b"".join(self._ask(phone, ms) for phone, ms in chats))
                    under_way.append(chats)
                if not under_way:
                    return
                if not some or len(under_way) == _IN_FLIGHT:
                    for phone, ms in under_way.popleft():
                        yield phone, _promised_at_s(pipe) + ms / 1000

    def _ask(self, phone: str, ms: int) -> bytes:
        model = self.models[int(phone) % len(self.models)]
        return model.replace(_MODEL_PHONE.encode(), phone.encode()).replace(b"%d" % _MODEL_MS, b"%08d" % ms)


async def learn(settings: Settings, instance_ids: list[str]) -> Owing:
    """Watch the store make one promise and settle it."""
    path = settings.redis.url.removeprefix("unix://")
    async with open_services(settings) as services:

        async def promise_one(phone: str = _MODEL_PHONE, op: State = State.TYPING, ms: int = _MODEL_MS) -> None:
            key = ChatKey(instance_ids[0], Chat(f"{phone}@s.whatsapp.net"))
            grant = await services.indicators.promise(
                key, op, ms, owner=_OWNER, ticket=None, trace="", refresh=_NO_REFRESH
            )
            assert isinstance(grant, Grant)
            await services.indicators.settle_command(grant, Report("ok", _NO_REFRESH, 0, 0), ms)

        # The first time the scripts are sent whole; a chat of its own, so that the model's record is a new one.
        await promise_one(_WARM_UP_PHONE)
        seen = await watch(path, promise_one, _MODEL_PHONE, 2)
        for phone in (_WARM_UP_PHONE, _MODEL_PHONE):
            await promise_one(phone, State.PAUSED, 0)  # nothing is left owed
    promise, settle = map(list, seen)
    promise[_DEADLINE] = settle[_ANSWERED_BY] = _NEVER_US
    model = b"".join([resp(promise), resp(["TIME"]), resp(settle)])
    first = _prefix(instance_ids[0])
    return Owing(path, [model.replace(first, _prefix(other)) for other in instance_ids])


def _prefix(instance_id: str) -> bytes:
    """Return what the key of any of an instance's records begins with: its partition and its name."""
    return keys.record(instance_id, "").encode()


def _promised_at_s(pipe: Pipe) -> float:
    """Read the three replies of one chat; returns when its promise was made, by Redis' clock."""
    match pipe.reply(), pipe.reply(), pipe.reply():
        case [b"go", *_], [bytes(seconds), bytes(micros)], [b"settled", *_]:
            return int(seconds) + int(micros) / 1e6
        case other:
            raise NotOwed(f"Redis answered {other}")


def _phone(number: int) -> str:
    return f"55118{number:08}"


def every(per_second: float, begin_s: float) -> Callable[[int], int]:
    """Return durations by which the n-th pause is due n / per_second after `begin_s`, a Unix time."""
    return lambda number: max(1, round((begin_s + number / per_second - time.time()) * 1000))
