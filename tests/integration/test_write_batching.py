"""What aiohttp does with a transport whose writes wait for the end of the turn."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from gateway.fast.write_batching import BatchedTransport
from gateway.process.server import listening

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_what_was_answered_leaves_before_the_transport_closes_at_the_clients_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.write(ANSWER)
        # What the loop does when it reads the client's end within the same turn.
        request.protocol.eof_received()
        request.transport._transport.close()  # type: ignore[attr-defined]
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    async with listening(app, "127.0.0.1", 0, batches_writes=True) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.read() == ANSWER
        writer.close()


async def test_aiohttp_asks_nothing_of_a_transport_that_could_overtake_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: set[str] = set()

    def ask(gathered: BatchedTransport, name: str) -> Any:
        asked.add(name)
        return getattr(gathered._transport, name)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(await request.read())
        await response.write_eof()
        return response

    monkeypatch.setattr(BatchedTransport, "__getattr__", ask)
    app = web.Application()
    app.router.add_post("/", stream)
    async with listening(app, "127.0.0.1", 0, batches_writes=True) as port, asyncio.timeout(10):
        for body in (b"ok", b"x" * 300_000):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            assert (await answer_to(port, head + body)).startswith(b"HTTP/1.1 200")
        assert b"400 Bad Request" in await answer_to(port, b"nonsense\r\n\r\n")
    assert asked <= {"get_extra_info", "pause_reading", "resume_reading"}, (
        "aiohttp writes some other way now: mend gateway/fast/write_batching.py; "
        "until then, set [fast] write_batching = false"
    )


async def answer_to(port: int, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    answer = await reader.read()
    writer.close()
    return answer
