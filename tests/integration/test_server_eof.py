"""A client that has ended its own side may still read its answer."""

import asyncio

from aiohttp import web

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
