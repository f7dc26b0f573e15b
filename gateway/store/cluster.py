"""Redis as a Valkey Cluster: its address, and which primary holds which slot at this moment.

`cluster://[user:password@]host:port,host:port`; from the nodes named there all others are learned. Our keys carry 65
tags, each of them in one slot: what works on keys of one tag is served by one primary, as without a cluster.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Connection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.store.sentinel import takes_no_writes

SCHEME = "cluster://"
_PORT = 6379

_NEXT_AFTER_S = 0.2
"""A node that has not answered for so long is not waited for alone: the next one is asked as well."""

_PAUSE_S = 0.05
"""Between two questions, however many ask; a failover takes seconds."""

_LEAVES = ("MOVED", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN")

Place = tuple[str, int]
"""Where a node listens: host and port."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL's parts."""

    nodes: tuple[Place, ...]
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            ValueError: it names no node, a port that is none, or more than nodes; the message repeats no password.
        """
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        nodes = tuple(_node(host) for host in hosts.split(",") if host)
        if not nodes:
            raise ValueError("a cluster URL is cluster://host:port,host:port")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("a cluster URL ends with its nodes: a cluster has one database, and no name")
        return cls(nodes, unquote(user) or None, unquote(password) or None)

    @property
    def credentials(self) -> dict[str, Any]:
        """Who we are to every node, as redis-py's connections take it."""
        return {"username": self.username, "password": self.password}

    def connection(self, place: Place, connect_timeout_s: float, timeout_s: float | None = None) -> Connection:
        """Make a connection to one node; it connects when it is used."""
        return Connection(
            host=place[0],
            port=place[1],
            **self.credentials,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            socket_keepalive=True,
        )


def _node(text: str) -> Place:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or text.endswith(":"):
        raise ValueError(f"a cluster URL is cluster://host:port,host:port, and {text!r} is no host:port")
    return host, port or _PORT


class SlotMap:
    """Which primary holds which slot, as a node of the cluster said last."""

    def __init__(self, address: Address, *, connect_timeout_s: float) -> None:
        """Know nothing yet; `connect_timeout_s` is for how long one node may be silent."""
        self.address = address
        self._connect_timeout_s = connect_timeout_s
        self._holders: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._primaries: frozenset[Place] = frozenset()
        self._learned: tuple[Place, ...] = ()
        self._is_doubted = True
        self._asking = asyncio.Lock()
        self._asked_at_s = 0.0
        self._round = 0

    def holder(self, slot: int) -> Place | None:
        """Return the primary that holds a slot, or None where nobody is known to."""
        return self._holders[slot]

    @property
    def primaries(self) -> frozenset[Place]:
        """Everybody who holds a slot."""
        return self._primaries

    def nodes(self) -> tuple[Place, ...]:
        """Return every node we have heard of, another one first each time that we ask."""
        known = tuple(dict.fromkeys(self._learned + self.address.nodes))
        turn = self._round % len(known)
        return known[turn:] + known[:turn]

    def moved(self, slot: int, to: Place) -> None:
        """Note what a node said of one slot; the rest of the map is old then, too."""
        self._holders[slot] = to
        self._primaries |= {to}
        self._is_doubted = True

    def doubt(self) -> None:
        """Ask again before the next connection is made."""
        self._is_doubted = True

    async def find(self, slot: int) -> Place:
        """Return the primary that holds a slot, asking the cluster where there is a doubt.

        Raises:
            redis.exceptions.ConnectionError: nobody is known to hold it.
        """
        if self._is_doubted:
            await self.refresh()
        place = self._holders[slot]
        if place is None:
            raise RedisConnectionError("no node of the cluster says who holds this key")
        return place

    async def refresh(self) -> None:
        """Ask the cluster; who wants to while somebody does shares the answer. Without an answer, the map stays."""
        before = self._round
        async with self._asking:
            if self._round == before:
                await asyncio.sleep(max(0.0, self._asked_at_s + _PAUSE_S - time.monotonic()))
                self._round += 1
                await self._ask()
                self._asked_at_s = time.monotonic()

    async def _ask(self) -> None:
        """Take the first answer; a node that is slow or away only brings the next one's turn nearer."""
        asked: set[asyncio.Task[bool]] = set()
        try:
            for place in self.nodes():
                asked.add(asyncio.create_task(self._learn_from(place)))
                if await self._is_answered(asked, _NEXT_AFTER_S):
                    return
            while asked:
                if await self._is_answered(asked, None):
                    return
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    @staticmethod
    async def _is_answered(asked: "set[asyncio.Task[bool]]", within_s: float | None) -> bool:
        done, _ = await asyncio.wait(asked, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        asked -= done
        return any(task.result() for task in done)

    async def _learn_from(self, place: Place) -> bool:
        """Take over what a node says; returns whether it said anything."""
        told: Any = None
        with suppress(RedisError, OSError):
            async with asyncio.timeout(self._connect_timeout_s):
                told = await self._told_by(place)
        if not told:
            return False  # away, or a member of no cluster
        holders: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for begin, end, primary, *_ in told:
            holders[begin : end + 1] = [_place(primary, place)] * (end + 1 - begin)
        self._holders, self._is_doubted = holders, False
        self._primaries = frozenset(_places((primary for _, _, primary, *_ in told), place))
        self._learned = _places((node for _, _, *nodes in told for node in nodes), place)
        return True

    async def _told_by(self, place: Place) -> Any:
        connection = self.address.connection(place, self._connect_timeout_s, self._connect_timeout_s)
        try:
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)


def _places(nodes: Iterable[Any], told_by: Place) -> tuple[Place, ...]:
    """Read where nodes are, each once."""
    found = (_place(node, told_by) for node in nodes)
    return tuple(dict.fromkeys(place for place in found if place))


def _place(node: Any, told_by: Place) -> Place | None:
    """Read where a node is; one that has no host of its own is where we asked."""
    host, port, *_ = node
    if host == b"?":
        return None
    return (host.decode() if host else told_by[0]), int(port)


def is_left(error: Exception) -> bool:
    """Whether a reply says that this node does not serve the key: now, or any more."""
    return takes_no_writes(error) or str(error).startswith(_LEAVES)
