"""Looks up the names of upstreams without threads, and gives each account a share of the look-ups under way.

aiodns asks the DNS servers, by default those of `/etc/resolv.conf` with its search domains, and reads `/etc/hosts`.
What it finds is remembered for a moment, failures too: a name that no server answers for costs few commands any time.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from weakref import WeakValueDictionary

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver
from cachetools import FIFOCache

LOOK_UP_S = 1.5
"""For one look-up, waiting for a place included: less than a connection may take, since that waits for it."""

FOUND_S = 10.0
"""For so long the addresses of a name are not looked up again."""

MISSING_S = 5.0
"""For so long a name that did not resolve is not looked up again."""

_MOST_OF_ACCOUNT = 8
_MOST = 1024
_MOST_NAMES = 4096

# A server that is slow to answer the first try has the answer ready for the second. All of them may take longer than
# anybody waits; what they find is for the next command then.
_TRY_S = 0.5
_TRIES = 3

asking_account: ContextVar[str] = ContextVar("asking_account", default="")
"""For whom a connection is being made. aiohttp's connector hands the name on, and nothing else."""

_Name = tuple[str, socket.AddressFamily]


class NameUnresolved(OSError):
    """The name has no addresses, or they were not found in time."""


@dataclass(frozen=True, slots=True)
class _Answer:
    addresses: deque[ResolveResult]
    until_s: float


class SharedResolver(AbstractResolver):
    """The process's one resolver: it asks `source` once for what many want, and never much for one account."""

    def __init__(
        self,
        source: AbstractResolver,
        *,
        look_up_s: float = LOOK_UP_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask `source`, which is closed along with this."""
        self._source = source
        self._look_up_s = look_up_s
        self._monotonic = monotonic
        self._known: FIFOCache[_Name, _Answer] = FIFOCache(_MOST_NAMES)
        self._awaited: dict[_Name, asyncio.Task[_Answer]] = {}
        self._under_way: set[asyncio.Task[_Answer]] = set()
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host, each time beginning with another.

        Raises:
            NameUnresolved: it has none, or they were not found within `LOOK_UP_S`.
        """
        name = host.lower(), family
        answer = self._recall(name) or await self._ask(name)
        if not answer.addresses:
            raise NameUnresolved(None, "the name does not resolve")
        answer.addresses.rotate()
        return [ResolveResult(**{**address, "port": port}) for address in answer.addresses]

    async def close(self) -> None:
        """Give up what is under way: whoever waits for it hears that the name does not resolve."""
        for look_up in self._under_way:
            look_up.cancel()
        await asyncio.gather(*self._under_way, *self._awaited.values(), return_exceptions=True)
        await self._source.close()

    def _recall(self, name: _Name) -> _Answer | None:
        answer = self._known.get(name)
        return answer if answer is not None and answer.until_s > self._monotonic() else None

    def _remember(self, name: _Name, addresses: Sequence[ResolveResult]) -> _Answer:
        lasts_s = FOUND_S if addresses else MISSING_S
        answer = self._known[name] = _Answer(deque(addresses), self._monotonic() + lasts_s)
        return answer

    async def _ask(self, name: _Name) -> _Answer:
        try:
            async with asyncio.timeout(self._look_up_s):
                if name not in self._awaited:
                    # Nobody joins a look-up that still waits for a place: it may be that of an account without any.
                    await self._begin(name, self._places_of(asking_account.get()))
                awaited = self._awaited.get(name)
                return await asyncio.shield(awaited) if awaited else self._known[name]
        except TimeoutError:
            raise NameUnresolved(None, "the name was not looked up in time") from None

    def _places_of(self, account_id: str) -> asyncio.Semaphore:
        places = self._places.get(account_id)
        if places is None:
            places = self._places[account_id] = asyncio.Semaphore(_MOST_OF_ACCOUNT)
        return places

    async def _begin(self, name: _Name, places: asyncio.Semaphore) -> None:
        """Begin a look-up once there is a place for it, unless another has begun the same one meanwhile."""
        await places.acquire()
        if name in self._awaited or self._recall(name):
            places.release()
        elif len(self._under_way) >= _MOST:
            places.release()
            raise NameUnresolved(None, "too many names are being looked up")
        else:
            look_up = asyncio.create_task(self._look_up(name, places))
            self._under_way.add(look_up)
            look_up.add_done_callback(self._under_way.discard)
            self._awaited[name] = asyncio.create_task(self._await_answer(name, look_up))

    async def _await_answer(self, name: _Name, look_up: asyncio.Task[_Answer]) -> _Answer:
        await asyncio.wait({look_up}, timeout=self._look_up_s)
        del self._awaited[name]
        is_answered = look_up.done() and not look_up.cancelled()
        return look_up.result() if is_answered else self._remember(name, ())

    async def _look_up(self, name: _Name, places: asyncio.Semaphore) -> _Answer:
        """Ask the source, and keep the place for as long as it goes on, which nobody can cut short."""
        try:
            found = await self._source.resolve(name[0], 0, name[1])
        except (OSError, ValueError):  # a UnicodeError is a ValueError: the name could never be one
            found = []
        finally:
            places.release()
        return self._remember(name, found)


@asynccontextmanager
async def open_resolver(servers: Sequence[str] = ()) -> AsyncIterator[SharedResolver]:
    """Open the process's resolver; `servers` are `address` or `address:port`, and by default the system's."""
    source = AsyncResolver(nameservers=list(servers) or None, timeout=_TRY_S, tries=_TRIES)
    resolver = SharedResolver(source)
    try:
        yield resolver
    finally:
        await resolver.close()
