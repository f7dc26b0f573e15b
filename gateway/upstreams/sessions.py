"""What each instance's session was like a moment ago, asked in the background so that no caller waits for long.

Each account has a share of those that are asked at a time, so that a list of sessions that hang hides nobody else's.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import FIFOCache

from gateway.presence.model import Instance, Target
from gateway.presence.shares import Slots
from gateway.upstreams.base import Connection
from gateway.upstreams.client import UpstreamClient

FRESH_S = 5.0
"""For so long an answer is not asked for again."""

_PROBE_S = 4.0
_AT_ONCE = 16
_MOST = 10_000


@dataclass(slots=True)
class _Known:
    target: Target
    state: Connection
    at_s: float


class Connections:
    """Remembers connection states, and refreshes those that somebody looks at."""

    def __init__(self, upstreams: UpstreamClient) -> None:
        """Ask `upstreams`, a few at a time."""
        self._upstreams = upstreams
        self._known: FIFOCache[str, _Known] = FIFOCache(_MOST)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._slots = Slots(_AT_ONCE)

    async def of(self, instances: Sequence[Instance], *, patience_s: float = 1.0) -> list[Connection]:
        """Return what is known of each, `unknown` where nothing is.

        Instances never seen before are waited for, `patience_s` at the most; of the others the last answer is
        returned at once, and the next one fetched behind it where it is old.
        """
        new = [self._ask(instance) for instance in instances if not self._is_known(instance)]
        for instance in instances:
            self._refresh(instance)
        if new:
            await asyncio.wait(new, timeout=patience_s)
        return [self._state(instance) for instance in instances]

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _is_known(self, instance: Instance) -> bool:
        known = self._known.get(instance.id)
        return known is not None and known.target == instance.target

    def _state(self, instance: Instance) -> Connection:
        return self._known[instance.id].state if self._is_known(instance) else Connection.UNKNOWN

    def _refresh(self, instance: Instance) -> None:
        known = self._known.get(instance.id)
        if known is not None and known.at_s + FRESH_S < time.monotonic():
            self._ask(instance)

    def _ask(self, instance: Instance) -> asyncio.Task[None]:
        task = self._asking.get(instance.id)
        if task is None:
            task = self._asking[instance.id] = asyncio.create_task(self._probe(instance))
            task.add_done_callback(lambda _: self._asking.pop(instance.id, None))
        return task

    async def _probe(self, instance: Instance) -> None:
        async with self._slots.slot(instance.account_id):
            state = await self._upstreams.connection(instance.target, timeout_s=_PROBE_S)
        self._known[instance.id] = _Known(instance.target, state, time.monotonic())
