"""The plain way to a Valkey Cluster: redis-py's own calls, on a pool for each slot that our keys are in.

Not redis-py's `RedisCluster` (5.3): it closes the connections to every primary when one of them fails, forgets nodes
that were away, and says ASKING on one connection and the command on another.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.fast.cluster_pipeline import redirection, slot_of
from gateway.store.cluster import Place, SlotMap
from gateway.store.cluster_connections import holder_pool

_PAUSE_S = 0.05
"""Between two tries, while a failover is under way."""


class PlainCluster:
    """Runs commands where their keys are, with replies as Redis sends them."""

    def __init__(self, slots: SlotMap, *, connect_timeout_s: float, timeout_s: float, max_connections: int) -> None:
        """Connect to nobody yet; `max_connections` are to the holder of one slot."""
        self._slots = slots
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._clients: dict[int, Redis] = {}

    async def execute_command(self, *words: str | bytes | float) -> Any:
        """Run one command that has a key.

        Raises:
            RedisError: Redis refused it.
            TimeoutError: nobody served its key within the timeout.
        """
        client = self._client(slot_of(words))
        async with asyncio.timeout(self._timeout_s):
            while True:
                try:
                    return await client.execute_command(*words)  # type: ignore[no-untyped-call]
                except RedisConnectionError:
                    await asyncio.sleep(_PAUSE_S)
                except ResponseError as error:
                    word, place = redirection(error)
                    if word != "ASK":
                        raise
                    return await self._ask(place, words)

    async def by_server(self, keys: Sequence[str]) -> list[tuple[Redis, list[str]]]:
        """Group keys by who holds them now, each group with what runs commands on that server alone."""
        held: dict[Place, list[str]] = {}
        for key in keys:
            held.setdefault(await self._slots.find(slot_of(("", key))), []).append(key)
        return [(self._client(slot_of(("", group[0]))), group) for group in held.values()]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
            await client.connection_pool.disconnect()

    def _client(self, slot: int) -> Redis:
        client = self._clients.get(slot)
        if client is None:
            pool = holder_pool(
                self._slots,
                slot,
                socket_connect_timeout=self._connect_timeout_s,
                socket_timeout=self._timeout_s,
                timeout=self._timeout_s,
                max_connections=self._max_connections,
            )
            client = self._clients[slot] = Redis(connection_pool=pool)
            client.response_callbacks.clear()
        return client

    async def _ask(self, place: Place, words: Sequence[str | bytes | float]) -> Any:
        """Run a command once where its key is already, while the slot is on its way there."""
        connection = self._slots.address.connection(place, self._connect_timeout_s, self._timeout_s)
        try:
            await connection.send_command("ASKING")
            await connection.send_command(*words)
            await connection.read_response()
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
