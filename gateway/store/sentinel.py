"""Redis behind Sentinel: every new connection asks who the primary is now.

`sentinel://[user:password@]host:port,host:port/name[?db=0]`; the credentials are those of the primary.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Connection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

SCHEME = "sentinel://"
_PORT = 26379
_REFUSES_WRITES = "NOREPLICAS"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL's parts."""

    sentinels: tuple[tuple[str, int], ...]
    name: str
    username: str | None
    password: str | None
    db: int

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            ValueError: it names no sentinel or no primary, or a port is no number.
        """
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        sentinels = tuple(_host(host) for host in hosts.split(",") if host)
        name = parts.path.strip("/")
        if not sentinels or not name:
            raise ValueError("a sentinel URL is sentinel://host:port,host:port/name")
        db = parse_qs(parts.query).get("db", ["0"])[0]
        return cls(sentinels, name, unquote(user) or None, unquote(password) or None, int(db))


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon else (text, _PORT)


class PrimaryConnection(Connection):
    """A connection to whoever is the primary when it is made."""

    def __init__(self, *, sentinel: Sentinel, service: str, **options: Any) -> None:
        """Ask `sentinel` for `service` at every connect."""
        super().__init__(**options)
        self._sentinel, self._service = sentinel, service

    async def connect(self) -> None:
        """Connect to the primary of this moment, where we are not connected yet."""
        if not self.is_connected:
            self.host, self.port = await self._sentinel.discover_master(self._service)
        await super().connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Leave a primary that was demoted or cut off meanwhile: it would refuse every write from now on."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if not takes_no_writes(error):
                raise
            await self.disconnect()
            raise RedisConnectionError("this primary takes no writes any more") from error


def takes_no_writes(error: Exception) -> bool:
    """Whether a server refused a write because it was demoted, or cut off from its replicas."""
    return isinstance(error, ReadOnlyError) or str(error).startswith(_REFUSES_WRITES)


def sentinel_pool(url: str, *, connect_timeout_s: float, **options: Any) -> BlockingConnectionPool:
    """Build a pool of connections to the primary that `url` names."""
    address = Address.parse(url)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(address.sentinels),
        sentinel_kwargs={"socket_timeout": connect_timeout_s, "socket_connect_timeout": connect_timeout_s},
    )
    return BlockingConnectionPool(
        connection_class=PrimaryConnection,
        sentinel=sentinel,
        service=address.name,
        username=address.username,
        password=address.password,
        db=address.db,
        socket_connect_timeout=connect_timeout_s,
        **options,
    )
