"""Waiting until what was started serves."""

from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.commands.dev.site import Site
from gateway.process.child import Child, wait_until


async def wait_until_serving(site: Site, children: Mapping[str, Child]) -> None:
    """Return when the gateway and the worker take work.

    Raises:
        StartFailed: a process ended with an error, or they take too long.
    """
    addresses = (f"{site.url}/health", f"{site.admin_url}/readyz", f"{site.worker_url}/readyz")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

        async def serve() -> bool:
            return all([await _is_ok(session, address) for address in addresses])

        await wait_until(serve, children.values(), "the gateway and the worker do not get ready")


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
