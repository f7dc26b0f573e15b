"""Commands that concurrent tasks send within one turn of the event loop travel to Redis together.

A request makes a few short calls, each alone a packet, a system call and a timer on either side. Sent together they
cost a fraction of that, and one `fsync` of the log serves all of them. Nobody waits for company: what is there at the
end of the turn leaves, and a packet that is large enough before it, so that Redis works while the turn goes on.

Leans on: `fast/redis_connection`, one of which carries them.
Gains: half of the gateway's CPU for a command. `PRESENCE_FAST__PIPELINE=false make bench
    ARGS="--only throughput --stacks ours"`, and without the variable.
Plain way: `[fast] pipeline = false`; `store/redis.open_plain`, redis-py's own calls on the pool that the rest uses.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.fast.redis_connection import Call, RedisConnection

_PACKET = 12
"""Commands with which a packet leaves before its turn ends; measured in `docs/scaling.md`."""

_PASSING_S = 0.01
"""For so long a command that is in no hurry waits for others to go with."""


class Pipeline:
    """Runs commands as `Redis.execute_command` does, with replies as Redis sends them."""

    def __init__(
        self,
        make_connection: Callable[[], Connection],
        *,
        timeout_s: float,
        leaves: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        """Open a connection when it is needed, on the loop that runs now; `leaves` says which reply ends it."""
        # Asking for it costs a system call up to Python 3.11, and each request calls several times.
        self._loop = asyncio.get_running_loop()
        self._make_connection = make_connection
        self._timeout_s = timeout_s
        self._leaves = leaves
        self._waiting: list[Call] = []
        self._is_due = self._is_closed = False
        self._passing: asyncio.TimerHandle | None = None
        self._connection: RedisConnection | None = None
        self._connections: set[RedisConnection] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def execute_command(self, *words: str | bytes | float) -> "asyncio.Future[Any]":
        """Run one command; awaiting it brings the reply.

        Raises:
            RedisError: Redis refused it, or could not be reached twice.
            TimeoutError: no answer within the timeout, counted from this call.
        """
        loop = self._loop
        answer = loop.create_future()
        self.take(Call(hiredis.pack_command(words), answer, loop.time() + self._timeout_s))  # type: ignore[arg-type]
        return answer

    def execute_in_passing(self, *words: str | bytes | float) -> "asyncio.Future[Any]":
        """Run one command that is in no hurry: it leaves with the next packet, or a hundredth of a second later.

        Commands keep their order all the same. Raises as `execute_command` does.
        """
        loop = self._loop
        answer = loop.create_future()
        call = Call(hiredis.pack_command(words), answer, loop.time() + self._timeout_s)  # type: ignore[arg-type]
        self.take(call, in_passing=True)
        return answer

    def take(self, call: Call, *, in_passing: bool = False) -> None:
        """Send a call with the others of this turn, or with whatever is sent next."""
        if self._is_closed:
            call.fail(RedisConnectionError("closed"))
            return
        self._waiting.append(call)
        if len(self._waiting) >= _PACKET and self._connection is not None and not self._connection.is_closing():
            self._leave()
        elif in_passing:
            if self._passing is None and not self._is_due:
                self._passing = self._loop.call_later(_PASSING_S, self._leave)
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._end_turn)

    def pending(self) -> list[Call]:
        """Return everything that is not answered, in any order."""
        return [call for call in self._calls() if not call.answer.done()]

    def hand_over(self) -> list[Call]:
        """Cut every connection, and return what was not answered on it: somebody else shall be asked."""
        pending, self._waiting = self.pending(), []
        for connection in self._connections:
            connection.calls.clear()
            connection.abort(RedisConnectionError("left for another server"))
        if self._connecting is not None:
            self._connecting.cancel()
        return pending

    async def close(self) -> None:
        """Wait for what is under way, and close the connections; nothing is run any more."""
        while pending := self.pending():
            await asyncio.wait([call.answer for call in pending])
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.close()

    def _calls(self) -> Iterable[Call]:
        """Everything that is not answered, in any order."""
        yield from self._waiting
        for connection in self._connections:
            yield from connection.calls

    def _end_turn(self) -> None:
        self._is_due = False
        self._leave()

    def _leave(self) -> None:
        if self._passing is not None:
            self._passing.cancel()
            self._passing = None
        if not self._waiting:
            return
        if self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0].deadline, self._look)
        if self._connection is not None:
            self._connection.send(self._waiting)
            self._waiting = []
        elif self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        connection = self._make_connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
            self._connection = RedisConnection(connection, self._answered, self._lost)
            self._connections.add(self._connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller hears of it
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call.fail(error)
            await connection.disconnect(nowait=True)
        finally:
            self._connecting = None
        self._leave()

    def _answered(self, connection: "RedisConnection", call: Call, reply: Any) -> None:
        """Bring a call its reply, unless it says that this server is none to stay with."""
        if isinstance(reply, RedisConnectionError) or (isinstance(reply, Exception) and self._leaves(reply)):
            connection.calls.appendleft(call)
            connection.abort(reply)
            if self._connection is connection:
                self._connection = None
        elif isinstance(reply, Exception):
            call.fail(reply)
        elif not call.answer.done():
            call.answer.set_result(reply)

    def _lost(self, connection: "RedisConnection", error: Exception) -> None:
        """Send once more what was not answered: the connection had died while idle, or its server went."""
        self._connections.discard(connection)
        if self._connection is connection:
            self._connection = None
        again = []
        for call in connection.calls:
            if call.is_second_try:
                call.fail(error)
            elif not call.answer.done():
                call.is_second_try = True
                again.append(call)
        connection.calls.clear()
        self._waiting = again + self._waiting
        self._leave()

    def _look(self) -> None:
        """Give up what has waited for too long; one timer looks after all calls."""
        now = self._loop.time()
        for call in self._calls():
            if call.deadline <= now:
                call.fail(TimeoutError())
        self._waiting = [call for call in self._waiting if call.deadline > now]
        for connection in list(self._connections):
            if not connection.calls:
                if connection is not self._connection:
                    connection.close()  # left, and it has answered the last of its calls since
            elif connection.calls[0].deadline <= now:
                # What its other calls are told may still come, but nobody else shall wait for this server's silence.
                if self._connection is connection:
                    self._connection = None
                if connection.calls[-1].deadline <= now:
                    connection.abort(TimeoutError())
        deadlines = [call.deadline for call in self._calls() if call.deadline > now]
        self._timer = self._loop.call_at(min(deadlines), self._look) if deadlines else None
