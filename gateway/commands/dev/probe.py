"""Waiting until what was started serves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.commands.dev.site import Site
from gateway.commands.errors import CommandFailed
from gateway.process.child import Child

_START_S = 60.0
_LOOK_EVERY_S = 0.05


async def wait_until_serving(site: Site, children: Mapping[str, Child]) -> None:
    """Return when the gateway and the worker take work.

    Raises:
        CommandFailed: a process ended with an error, or they take too long.
    """
    addresses = (f"{site.url}/health", f"{site.admin_url}/readyz", f"{site.worker_url}/readyz")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

        async def serve() -> bool:
            return all([await _is_ok(session, address) for address in addresses])

        await wait_until(serve, children, "the gateway and the worker do not get ready")


async def wait_until(
    probe: Callable[[], Awaitable[bool]], children: Mapping[str, Child], complaint: str, *, within_s: float = _START_S
) -> None:
    """Ask until the answer is yes.

    Raises:
        CommandFailed: a process ended with an error, or the answer is still no.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while not await probe():
        for child in children.values():
            if child.has_failed:
                raise CommandFailed(f"the {child.name} process ended while starting; its own words are above")
        if asyncio.get_running_loop().time() > deadline:
            raise CommandFailed(f"{complaint} within {within_s:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)


async def redis_answers(url: str) -> bool:
    """Whether a Redis of the user's own answers."""
    with suppress(RedisError, OSError):
        async with Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(await client.ping())
    return False


async def _is_ok(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
