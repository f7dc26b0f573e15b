"""What any server may do to a client: hang, reset, lie, flood, redirect, or trickle."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable, Mapping

from aiohttp import web

from fakes.base import Misbehaviour

FLOOD_MB = 10
BOMB = gzip.compress(b" " * (1024 * 1024 * FLOOD_MB))
PAGE = "<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head><body><h1>It works</h1></body></html>"


async def hang(_: web.Request) -> web.StreamResponse:
    """Take the request and never answer."""
    await asyncio.sleep(3600)
    raise AssertionError


async def reset(request: web.Request) -> web.StreamResponse:
    """Read the request, then tear the connection down with a RST."""
    if request.transport is not None:
        line: socket.socket = request.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def close(request: web.Request) -> web.StreamResponse:
    """Read the request, then close without a word."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _says(body: bytes | str, status: int = 200, **headers: str) -> Misbehaviour:
    async def misbehave(_: web.Request) -> web.StreamResponse:
        kind = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(status=status, body=body, headers=kind)

    return misbehave


async def flood(request: web.Request) -> web.StreamResponse:
    """Answer 200 with 10 MB of JSON."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"success":true,"padding":"')
    spaces = b" " * 65536
    for _ in range(FLOOD_MB * 16):
        await response.write(spaces)
    await response.write(b'"}')
    return response


def redirect(status: int) -> Misbehaviour:
    """Send the client elsewhere, the credential with it."""

    async def misbehave(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"http://{request.host}/elsewhere"})

    return misbehave


async def trickle_body(request: web.Request) -> web.StreamResponse:
    """Send the head at once and the body a byte at a time, for ever."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100000"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def trickle_head(request: web.Request) -> web.StreamResponse:
    """Send the head a byte at a time, for ever."""
    transport = request.transport
    if transport is not None:
        transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not transport.is_closing():
            transport.write(b"x")
            await asyncio.sleep(0.05)
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    """Promise more than is sent, then close."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"success":tr')
    if request.transport is not None:
        request.transport.close()
    return response


async def not_http(request: web.Request) -> web.StreamResponse:
    """Answer in another protocol."""
    if request.transport is not None:
        request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\x00\xff\r\n\r\n")
        request.transport.close()
    return web.Response()


async def bomb(_: web.Request) -> web.StreamResponse:
    """Answer 10 KB that unpack to 10 MB."""
    return web.Response(body=BOMB, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


SILENT: Mapping[str, Misbehaviour] = {"hang": hang, "trickle-head": trickle_head, "trickle-body": trickle_body}
"""Those that end only with the client's patience."""

LOUD: Mapping[str, Misbehaviour] = {
    "reset": reset,
    "close": close,
    "cut": cut,
    "not-http": not_http,
    "page": _says(PAGE, Content_Type="text/html"),
    "page-as-json": _says(PAGE),
    "flood": flood,
    "bomb": bomb,
    "broken-gzip": _says(b"not gzip at all", Content_Encoding="gzip"),
    "unknown-encoding": _says(b"\x01\x02", Content_Encoding="br"),
    "redirect-302": redirect(302),
    "redirect-307": redirect(307),
    "invalid-json": _says('{"success":tru'),
    "json-list": _says("[1,2,3]"),
    "json-null": _says("null"),
    "deep-json": _says("[" * 100_000),
    "deep-object": _says('{"a":' * 20_000),
    "huge-number": _says('{"success":' + "9" * 20_000 + "}"),
    "not-utf8": _says(b'{"success":"\xff\xfe\xfa"}', Content_Type="application/json; charset=klingon"),
    "huge-header": _says("{}", X_Huge="x" * 100_000),
    "bad-request-page": _says(PAGE, 400, Content_Type="text/html"),
    "not-found-page": _says(PAGE, 404, Content_Type="text/html"),
    "bad-gateway-page": _says(PAGE, 502, Content_Type="text/html"),
    "unavailable-page": _says(PAGE, 503, Content_Type="text/html", Retry_After="soon"),
    "too-many": _says("slow down", 429, Retry_After="99999999999999999999"),
    "odd-status": _says("{}", 299),
    "unheard-of-status": _says("{}", 799),
}
"""Those that answer, or end, at once."""

READS_AS_SUCCESS: Callable[[str], bool] = {"not-utf8", "odd-status", "huge-header", "huge-number", "flood"}.__contains__
"""An object in a 2xx is as much as some upstreams' own success says."""
