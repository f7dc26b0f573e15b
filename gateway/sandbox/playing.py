"""How each kind of fault is played over HTTP."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from aiohttp import web

from gateway.sandbox.faults import Kind, Standing

HUGE_CHUNKS, HUGE_CHUNK = 160, b" " * 65_536
"""10 MB: far more than any upstream says about a presence."""

LOOK_S = 0.2
"""How often to look whether a client has left: aiohttp does not tell a handler."""

Apply: TypeAlias = Callable[[], object]
"""Tells the phone."""

_Play: TypeAlias = Callable[[Standing, web.Request, Apply], Awaitable[web.StreamResponse]]


async def play(standing: Standing, request: web.Request, apply: Apply) -> web.StreamResponse:
    """Fail a presence as ordered; `apply` is called by the kinds that tell the phone."""
    return await _PLAYS[standing.fault.kind](standing, request, apply)


def refuse(status: int, error: str) -> web.Response:
    """Answer an error as the sandbox writes them."""
    return web.json_response({"error": error}, status=status)


async def _hang(standing: Standing, request: web.Request, _: Apply) -> web.StreamResponse:
    while not (standing.cleared.is_set() or _has_left(request)):
        await _wait(LOOK_S, standing.cleared)
    return _abort(request)


async def _slow(standing: Standing, _: web.Request, apply: Apply) -> web.StreamResponse:
    apply()
    await _wait(standing.fault.delay_s, standing.cleared)
    return web.json_response({"ok": True})


async def _late(standing: Standing, _: web.Request, apply: Apply) -> web.StreamResponse:
    # A timer of the loop's, because a server may cancel the handler of a client that left.
    asyncio.get_running_loop().call_later(standing.fault.delay_s, _arrive, standing, apply)
    await _wait(standing.fault.delay_s, standing.closing)
    return refuse(503, "shutting down") if standing.closing.is_set() else web.json_response({"ok": True})


def _arrive(standing: Standing, apply: Apply) -> None:
    if not standing.closing.is_set():
        apply()


async def _reset(_: Standing, request: web.Request, __: Apply) -> web.StreamResponse:
    return _abort(request)


async def _lost_reply(_: Standing, request: web.Request, apply: Apply) -> web.StreamResponse:
    apply()
    return _abort(request)


async def _status(standing: Standing, _: web.Request, __: Apply) -> web.StreamResponse:
    response = refuse(standing.fault.status, "ordered to fail")
    if standing.fault.status == web.HTTPTooManyRequests.status_code:
        response.headers["Retry-After"] = "1"
    return response


def _refusing(status: int, error: str) -> _Play:
    async def refusal(_: Standing, __: web.Request, ___: Apply) -> web.StreamResponse:
        return refuse(status, error)

    return refusal


async def _garbage(_: Standing, __: web.Request, ___: Apply) -> web.StreamResponse:
    return web.Response(text="<!doctype html><title>Welcome</title><p>Please log in.", content_type="text/html")


async def _huge(_: Standing, request: web.Request, __: Apply) -> web.StreamResponse:
    response = await _begin(request)
    with suppress(ConnectionError):
        for _chunk in range(HUGE_CHUNKS):
            await response.write(HUGE_CHUNK)
    return response


async def _redirect(_: Standing, request: web.Request, __: Apply) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": request.raw_path})


async def _slow_bytes(standing: Standing, request: web.Request, _: Apply) -> web.StreamResponse:
    response = await _begin(request)
    with suppress(ConnectionError):
        while not standing.cleared.is_set():
            await response.write(b" ")
            await _wait(standing.fault.delay_s, standing.cleared)
    return response


_PLAYS: dict[Kind, _Play] = {
    Kind.HANG: _hang,
    Kind.SLOW: _slow,
    Kind.LATE: _late,
    Kind.RESET: _reset,
    Kind.LOST_REPLY: _lost_reply,
    Kind.STATUS: _status,
    Kind.NOT_CONNECTED: _refusing(503, "session is not connected"),
    Kind.UNKNOWN_NUMBER: _refusing(400, "unknown number"),
    Kind.UNSUPPORTED: _refusing(501, "not supported"),
    Kind.UNAUTHORIZED: _refusing(401, "unauthorized"),
    Kind.GARBAGE: _garbage,
    Kind.HUGE: _huge,
    Kind.REDIRECT: _redirect,
    Kind.SLOW_BYTES: _slow_bytes,
}


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    return response


async def _wait(seconds: float, end: asyncio.Event) -> None:
    """Return after `seconds`, or at the end."""
    with suppress(TimeoutError):
        await asyncio.wait_for(end.wait(), seconds)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _abort(request: web.Request) -> web.Response:
    """Reset the connection; the answer is for aiohttp's bookkeeping and reaches nobody."""
    if request.transport is not None:
        wire = request.transport.get_extra_info("socket")
        # Lingering for no time makes the kernel send a reset where it would have closed politely.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
