"""The connection to Redis and its Lua scripts; the one place where Redis' failures become `StoreUnavailable`."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from gateway.fast.pipeline import Pipeline
from gateway.presence.errors import StoreUnavailable
from gateway.store import cluster
from gateway.store.cluster_connections import cluster_pool
from gateway.store.sentinel import SCHEME, sentinel_pool, takes_no_writes
from gateway.telemetry import trace
from gateway.telemetry.metrics import REDIS_ERRORS

_SCRIPTS = Path(__file__).parents[1]

Argument = str | int | float | bytes

_NEEDS = "-- needs: "

_DB = {"db.system.name": "redis"}

_TENANTS_TAG = "t"
"""The tag of the keys of everything that is no chat's."""


@asynccontextmanager
async def open_redis(
    url: str, *, connect_timeout_s: float, timeout_s: float | None, max_connections: int
) -> AsyncIterator[Redis]:
    """Open a pool in which no call waits longer than its timeouts; it is not connected before its first use."""
    pool = connection_pool(
        url, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s, max_connections=max_connections
    )
    redis: Redis = Redis(connection_pool=pool)
    try:
        yield redis
    finally:
        await redis.aclose()
        await pool.disconnect()


@asynccontextmanager
async def open_plain(redis: Redis) -> AsyncIterator["Executor"]:
    """Run commands on the pool of `redis`, each by itself, with replies as Redis sends them."""
    plain: Redis = Redis(connection_pool=redis.connection_pool)
    plain.response_callbacks.clear()
    yield plain


@asynccontextmanager
async def open_pipeline(url: str, *, connect_timeout_s: float, timeout_s: float) -> AsyncIterator[Pipeline]:
    """Open a pipeline with a connection of its own, which is not made before its first use."""
    # It has its own timer, so that none is needed for each reply.
    pool = connection_pool(url, connect_timeout_s=connect_timeout_s, timeout_s=None, max_connections=1)
    is_primary_of_many = url.startswith(SCHEME)
    pipeline = Pipeline(
        pool.make_connection,
        timeout_s=timeout_s,
        leaves=lambda error: is_primary_of_many and takes_no_writes(error),
    )
    try:
        yield pipeline
    finally:
        await pipeline.close()


def connection_pool(
    url: str, *, connect_timeout_s: float, timeout_s: float | None, max_connections: int, tag: str = _TENANTS_TAG
) -> BlockingConnectionPool:
    """Build a bounded pool that tries once more where a connection had died while idle.

    Where Redis is a cluster, it serves the keys with `tag`; with none, it goes to any node, for channels.
    Every script is safe to run twice: a promise by its owner, a settlement by its lease, an admission by refusing
    rather one request too many.
    """
    options: dict[str, Any] = {
        "max_connections": max_connections,
        "timeout": timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(ConstantBackoff(0.01), 1),
        "retry_on_error": [RedisConnectionError],
    }
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    if url.startswith(cluster.SCHEME):
        return cluster_pool(url, tag, connect_timeout_s=connect_timeout_s, **options)
    if url.startswith(SCHEME):
        return sentinel_pool(url, connect_timeout_s=connect_timeout_s, **options)
    return BlockingConnectionPool.from_url(url, socket_connect_timeout=connect_timeout_s, **options)


class store_errors:  # noqa: N801 - read as a verb, like `suppress`
    """Turn every failure of Redis inside the block into `StoreUnavailable`, and count it."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, where: object) -> None:
        if isinstance(error, (RedisError, OSError)):
            raise _unavailable() from error


def _unavailable() -> StoreUnavailable:
    REDIS_ERRORS.inc()
    return StoreUnavailable()


class Executor(Protocol):
    """What runs a command: a `Redis`, or a `Pipeline` that shares its packets.

    It may have `execute_in_passing`, too, for commands that are in no hurry.
    """

    def execute_command(self, *words: Argument) -> Awaitable[Any]:
        """Run one command."""
        ...


async def command(redis: Executor, *words: Argument) -> Any:
    """Run one command, such as `command(redis, "HGET", key, field)`.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    async with store_errors():
        with trace.step(f"redis {words[0]!s}", **_DB):
            return await redis.execute_command(*words)


class Script:
    """One Lua script, sent by its hash."""

    def __init__(self, redis: Executor, name: str, *, in_passing: bool = False) -> None:
        """Load `folder/name`, a file in the `lua/` of that folder, behind the files that its first line needs.

        A script that only settles what is owed, or frees room, begins with `#!lua flags=allow-oom`: a Redis above its
        `maxmemory` refuses new promises, and must not hold back a pause. `in_passing` where its calls are in no hurry.
        """
        self._redis = redis
        self._in_passing = getattr(redis, "execute_in_passing", None) if in_passing else None
        self._name = f"redis {name.rpartition('/')[2]}"
        self._source = _source(name)
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[Argument]) -> Coroutine[Any, Any, Any]:
        """Run it as one atomic step; where commands share packets, it is on its way before anybody awaits it.

        Raises:
            StoreUnavailable: Redis could not be reached or refused to run it; it may or may not have run.
        """
        execute = self._in_passing or self._redis.execute_command
        return self._answer(execute("EVALSHA", self._sha, len(keys), *keys, *args), keys, args)

    async def _answer(self, running: Awaitable[Any], keys: Sequence[str], args: Sequence[Argument]) -> Any:
        try:
            return await (trace.during(running, self._name, **_DB) if trace.is_kept() else running)
        except NoScriptError:
            return await command(self._redis, "EVAL", self._source, len(keys), *keys, *args)
        except (RedisError, OSError) as error:
            raise _unavailable() from error


def _source(name: str) -> str:
    """Put a script together: the flags that Redis reads from its first line, then every file that it needs."""
    return "".join([_read(name).shebang, *_parts(name, set())])


def _parts(name: str, seen: set[str]) -> Iterator[str]:
    """Yield a script's files, each once and behind those it needs."""
    file = _read(name)
    for needed in file.needs:
        if needed not in seen:
            yield from _parts(needed, seen)
    seen.add(name)
    yield file.text


class _File(NamedTuple):
    shebang: str
    needs: tuple[str, ...]
    text: str


def _read(name: str) -> _File:
    """Read one file; its first line, behind a shebang where it has one, names what it needs."""
    folder, _, stem = name.rpartition("/")
    text = (_SCRIPTS / folder / "lua" / f"{stem}.lua").read_text(encoding="utf-8")
    shebang, text = _cut(text) if text.startswith("#!") else ("", text)
    first, _ = _cut(text)
    needs = first.removeprefix(_NEEDS).rstrip().split(", ") if first.startswith(_NEEDS) else ()
    return _File(shebang, tuple(needed if "/" in needed else f"{folder}/{needed}" for needed in needs), text)


def _cut(text: str) -> tuple[str, str]:
    """Return the first line, with its end, and the rest."""
    line, end, rest = text.partition("\n")
    return line + end, rest
