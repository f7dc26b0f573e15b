"""Commands that concurrent tasks send within one turn of the event loop travel to Redis together.

A request makes three short calls, each alone a packet, a system call and a timer on either side. Sent together they
cost a fraction of that, and one `fsync` of the log serves all of them. Nobody waits for company: what is there at the
end of the turn leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.store.redis import connection_pool

_LANES = 4
"""Connections, each with one batch under way; what comes while all are taken joins the next batch."""

_MOST = 256
"""Commands in one batch."""


@dataclass(slots=True)
class _Call:
    """One command on its way."""

    packed: bytes
    answer: "asyncio.Future[Any]"
    deadline: float


class Pipeline:
    """Runs commands as `Redis.execute_command` does, with replies as Redis sends them."""

    def __init__(self, connections: Sequence[Connection], *, timeout_s: float) -> None:
        """Use these connections, which are opened when they are needed, on the loop that runs now."""
        # Asking for it costs a system call up to Python 3.11, three times a request.
        self._loop = asyncio.get_running_loop()
        self._idle = list(connections)
        self._timeout_s = timeout_s
        self._waiting: list[_Call] = []
        self._is_due = False
        self._under_way: set[asyncio.Task[None]] = set()

    async def execute_command(self, *words: str | bytes | float) -> Any:
        """Run one command.

        Raises:
            RedisError: Redis refused it, or could not be reached twice.
            TimeoutError: no answer within the timeout, counted from this call at the latest.
        """
        loop = self._loop
        call = _Call(hiredis.pack_command(words), loop.create_future(), loop.time() + self._timeout_s)  # type: ignore[arg-type]
        self._waiting.append(call)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._leave)
        return await call.answer

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        for connection in self._idle:
            await connection.disconnect()

    def _leave(self) -> None:
        self._is_due = False
        while self._waiting and self._idle:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            task = self._loop.create_task(self._travel(self._idle.pop(), batch))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _travel(self, connection: Connection, batch: list[_Call]) -> None:
        """Bring every call its answer, or what went wrong."""
        try:
            async with asyncio.timeout_at(batch[0].deadline):
                try:
                    await _exchange(connection, batch)
                except (RedisConnectionError, OSError):
                    # It had died while idle, or its server went: once more, with what is not answered.
                    await _exchange(connection, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller hears of it
            await connection.disconnect(nowait=True)
            for call in batch:
                if not call.answer.done():
                    call.answer.set_exception(error)
        finally:
            self._idle.append(connection)
            self._leave()


async def _exchange(connection: Connection, batch: list[_Call]) -> None:
    calls = [call for call in batch if not call.answer.done()]
    await connection.send_packed_command(b"".join([call.packed for call in calls]))
    for call in calls:
        try:
            answer = await connection.read_response()
        except ResponseError as error:
            # Of this one command: the connection is in step.
            if not call.answer.done():
                call.answer.set_exception(error)
        else:
            if not call.answer.done():
                call.answer.set_result(answer)


@asynccontextmanager
async def open_pipeline(url: str, *, connect_timeout_s: float, timeout_s: float) -> AsyncIterator[Pipeline]:
    """Open a pipeline of its own connections; none is connected before its first use."""
    # A batch has one timer, so that none is needed for each reply.
    pool = connection_pool(url, connect_timeout_s=connect_timeout_s, timeout_s=None, max_connections=_LANES)
    connections = [pool.make_connection() for _ in range(_LANES)]  # type: ignore[no-untyped-call]
    pipeline = Pipeline(connections, timeout_s=timeout_s)
    try:
        yield pipeline
    finally:
        await pipeline.close()
