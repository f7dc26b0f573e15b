"""Who runs, and what fails there: every process says so every few seconds, so that `status` misses the dead."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import msgspec
from redis.asyncio import Redis

from gateway import VERSION
from gateway.presence.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.redis import Script, command
from gateway.store.troubles import RedisTroubles, Trouble

_EVERY_S = 5.0
_FORGOTTEN_S = 16.0
"""Three times late, and a little: then it is dead, or cut off from Redis."""

_ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104 - told apart, not bound


class Process(msgspec.Struct, frozen=True):
    """One process, and where its metrics are."""

    role: Literal["gateway", "worker"]
    host: str
    pid: int
    url: str
    version: str
    started: int


class ProcessRegistry:
    """The processes of an installation, in Redis."""

    def __init__(self, redis: Redis, troubles: Callable[[], list[Trouble]] = list) -> None:
        """Ask `troubles` what fails in this process."""
        self._redis = redis
        self._enlist = Script(redis, "store/enlist")
        self._troubles = troubles
        self._said = RedisTroubles(redis)

    async def present(self) -> list[Process]:
        """Return who said lately that they run, gateways first.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        await command(self._redis, "ZREMRANGEBYSCORE", keys.PROCESSES, "-inf", time.time())
        told = await command(self._redis, "ZRANGE", keys.PROCESSES, 0, -1)
        members = [msgspec.json.decode(line, type=Process) for line in told]
        return sorted(members, key=lambda member: (member.role, member.host, member.url))

    @asynccontextmanager
    async def listed(self, role: Literal["gateway", "worker"], host: str, port: int) -> AsyncIterator[None]:
        """Be on the processes inside the block; `host` and `port` are those of the operator's listener."""
        name = socket.gethostname()
        url = f"http://{name if host in _ANY_ADDRESS else host}:{port}"
        member = msgspec.json.encode(Process(role, name, os.getpid(), url, VERSION, int(time.time())))
        saying = asyncio.create_task(self._say(member, url))
        try:
            yield
        finally:
            saying.cancel()
            with suppress(StoreUnavailable):
                await command(self._redis, "ZREM", keys.PROCESSES, member)
                await self._said.say(url, [], lasts_s=0)

    async def _say(self, member: bytes, url: str) -> None:
        said: list[Trouble] = []
        while True:
            with suppress(StoreUnavailable):
                await self._enlist((keys.PROCESSES,), (time.time() + _FORGOTTEN_S, member))
                troubles = self._troubles()
                if troubles or said:  # where nothing fails, nothing is said
                    await self._said.say(url, troubles, lasts_s=_FORGOTTEN_S)
                said = troubles
            await asyncio.sleep(_EVERY_S)
