"""Connections of redis-py that follow a Valkey Cluster: to who holds some keys, or to any of its nodes."""

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.cluster import Address, Place, SlotMap, is_left


class HolderConnection(Connection):
    """A connection to whoever holds a slot when it is taken from its pool."""

    def __init__(self, *, slots: SlotMap, slot: int, **options: Any) -> None:
        """Look up `slot` in `slots` at every connect."""
        super().__init__(**options)
        self._slots, self._slot = slots, slot

    async def connect(self) -> None:
        """Connect to the holder of this moment; a connection to a former one is given up."""
        try:
            await self._follow()
        except (RedisError, OSError):
            # What we knew is old, or the failover is under way: once more, with what the cluster says now.
            self._slots.doubt()
            await self._follow()

    async def _follow(self) -> None:
        place = await self._slots.find(self._slot)
        if self.is_connected and place != (self.host, self.port):
            await self.disconnect(nowait=True)
        self.host, self.port = place
        async with asyncio.timeout(self.socket_connect_timeout):
            await super().connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Leave who holds the slot no longer, so that the pool's second try finds who does."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if not is_left(error):
                raise
            self._slots.doubt()
            await self.disconnect()
            raise RedisConnectionError("this primary does not serve the key any more") from error
        except RedisTimeoutError as error:
            self._slots.doubt()
            if await self._slots.find(self._slot) == (self.host, self.port):
                self._slots.doubt()
                raise
            raise RedisConnectionError("this primary was silent, and has a successor") from error
        except RedisError:
            self._slots.doubt()
            raise


class MemberConnection(Connection):
    """A connection to any node that is with the cluster: what one publishes, all of them pass on."""

    def __init__(self, *, slots: SlotMap, **options: Any) -> None:
        """Look for a node in `slots` at every connect."""
        super().__init__(**options)
        self._slots = slots

    async def connect(self) -> None:
        """Connect to the first node that answers, where we are not connected yet."""
        if self.is_connected:
            return
        await self._slots.refresh()
        for place in self._slots.nodes():
            if await self._is_member(place):
                return
        raise RedisConnectionError("no node of the cluster answers")

    async def _is_member(self, place: Place) -> bool:
        self.host, self.port = place
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                await super().connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            await self.disconnect(nowait=True)
        return bool(self.is_connected)

    async def on_connect(self) -> None:
        """Greet the node, and stay only where it is not cut off from the others: it would hear nothing."""
        await super().on_connect()
        await self.send_command("CLUSTER", "INFO")
        if b"cluster_state:ok" not in await self.read_response():
            raise RedisConnectionError("this node is cut off from its cluster")


def holder_pool(slots: SlotMap, slot: int, **options: Any) -> BlockingConnectionPool:
    """Build a pool of connections to whoever holds a slot."""
    return BlockingConnectionPool(
        connection_class=HolderConnection, slots=slots, slot=slot, **slots.address.credentials, **options
    )


def cluster_pool(url: str, tag: str, *, connect_timeout_s: float, **options: Any) -> BlockingConnectionPool:
    """Build a pool of connections to whoever holds the keys with `tag`; without one, to any node."""
    slots = SlotMap(Address.parse(url), connect_timeout_s=connect_timeout_s)
    options["socket_connect_timeout"] = connect_timeout_s
    if tag:
        return holder_pool(slots, key_slot(tag.encode()), **options)
    return BlockingConnectionPool(
        connection_class=MemberConnection, slots=slots, **slots.address.credentials, **options
    )
