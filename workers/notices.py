"""Hears what wakes up sooner than workers look: scripts publish it, to whoever listens.

A notice may be lost with its connection. Then what it told of is found by the next look, within a second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.store import keys

_AGAIN_S = 0.1
_PING_EVERY_S = 15.0
"""A connection that is silent for longer is asked whether it lives."""

OpenRedis = Callable[[], AbstractAsyncContextManager[Redis]]


async def listen_for_ever(open_redis: OpenRedis, told: Callable[[int | None], None]) -> None:
    """Call `told` with each partition until cancelled; with None where anything may have been missed."""
    while True:
        try:
            async for partition in _notices(open_redis):
                told(partition)
        except (RedisError, OSError):
            await asyncio.sleep(_AGAIN_S)


async def _notices(open_redis: OpenRedis) -> AsyncIterator[int | None]:
    async with open_redis() as redis, redis.pubsub() as listening:
        await listening.subscribe(keys.SOONER)
        yield None
        while True:
            message = await listening.get_message(ignore_subscribe_messages=True, timeout=_PING_EVERY_S)
            if message is None:
                await listening.ping()
            elif (said := message["data"]).isdigit():
                yield int(said)
            elif said:
                yield None
