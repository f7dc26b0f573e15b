"""A client that is gone in the middle of its body is no fault of ours."""

import asyncio

import pytest
from aiohttp import web

from gateway.api import bodies
from gateway.presence.errors import InvalidBody
from gateway.process.server import listening


@pytest.mark.parametrize("part", [b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"])
async def test_a_body_that_breaks_off_with_its_connection_is_an_invalid_body(part: bytes) -> None:
    reading: asyncio.Queue[str] = asyncio.Queue()

    async def read(request: web.Request) -> web.Response:
        await reading.put("begun")
        with pytest.raises(InvalidBody):
            await bodies.read(request, 5.0)
        await reading.put("refused")
        return web.Response()

    app = web.Application()
    app.router.add_post("/", read)
    async with listening(app, "127.0.0.1", 0) as port, asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + part)
        assert await reading.get() == "begun"
        writer.transport.abort()
        assert await reading.get() == "refused"
