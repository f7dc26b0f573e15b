"""How the sandbox fails on demand: which fault stands for an instance, and how each kind is played over HTTP."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Self, TypeAlias

import msgspec
from aiohttp import web

from gateway.presence.model import State

ALL = "*"
"""A fault of this instance strikes every instance that has none of its own."""

HUGE_CHUNKS, HUGE_CHUNK = 160, b" " * 65_536
"""10 MB: far more than any upstream says about a presence."""

LOOK_S = 0.2
"""How often to look whether a client has left: aiohttp does not tell a handler."""


class Kind(StrEnum):
    """A way to fail, and what it does in one line."""

    about: str

    def __new__(cls, word: str, about: str) -> Self:
        """Make a member that is its word on the wire and carries its line."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.about = about
        return kind

    NONE = "none", "works: clears the instance's fault"
    HANG = "hang", "never answers while the fault stands; nothing applied"
    SLOW = "slow", "applies at once, answers after `delay` (3 s)"
    LATE = "late", "applies only after `delay` (3 s), then answers, even if the client left long ago"
    RESET = "reset", "aborts the TCP connection; nothing applied"
    LOST_REPLY = "lost_reply", "applies, then aborts the TCP connection without an answer"
    STATUS = "status", "answers `status` (500); nothing applied; a 429 carries Retry-After: 1"
    NOT_CONNECTED = (
        "not_connected",
        "answers 503, the session is not connected, and says so when probed; nothing applied",
    )
    UNKNOWN_NUMBER = "unknown_number", "answers 400, unknown number; nothing applied"
    UNSUPPORTED = "unsupported", "answers 501; nothing applied"
    UNAUTHORIZED = "unauthorized", "answers 401; nothing applied"
    GARBAGE = "garbage", "answers 200 with a HTML page, as a captive proxy would; nothing applied"
    HUGE = "huge", "answers 200 with a body of 10 MB; nothing applied"
    REDIRECT = "redirect", "answers 302 to itself; nothing applied"
    SLOW_BYTES = "slow_bytes", "answers 200, then one byte every `delay` (1 s) while the fault stands; nothing applied"


_DELAY_S = {Kind.SLOW: 3.0, Kind.LATE: 3.0, Kind.SLOW_BYTES: 1.0}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order to fail.

    Attributes:
        instance: whose presences fail, or `*`.
        kind: how (`fault` on the wire).
        count: how many presences fail before the fault is spent; None is all.
        delay: seconds, where the kind has a delay.
        status: what the kind `status` answers.
        state: only presences of this state fail; None is any.
    """

    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    kind: Kind = msgspec.field(name="fault")
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    delay: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 500
    state: State | None = None

    @property
    def delay_s(self) -> float:
        """The ordered delay, or the kind's own."""
        return _DELAY_S.get(self.kind, 0.0) if self.delay is None else self.delay


class Standing:
    """A fault in force: how often it struck, and what the calls that hang in it wait for."""

    def __init__(self, fault: Fault, closing: asyncio.Event) -> None:
        """Take the event that ends even what clearing the fault does not."""
        self.fault = fault
        self.struck = 0
        self.cleared = asyncio.Event()
        self.closing = closing

    @property
    def spent(self) -> bool:
        """Whether as many presences failed as were ordered to; calls that hang in it hang on."""
        return self.struck == self.fault.count

    def strikes(self, state: State) -> bool:
        """Whether a presence of this state fails now."""
        return not self.spent and self.fault.state in {None, state}

    def listed(self) -> dict[str, Any]:
        """Say what stands, as it was ordered, and how often it struck."""
        return {**msgspec.to_builtins(self.fault), "delay": self.fault.delay_s, "struck": self.struck}


class Faults:
    """The faults in force: at most one per instance, and one for all the others."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}
        self._closing = asyncio.Event()

    def order(self, fault: Fault) -> None:
        """Put a fault in force in place of the instance's former one, whose hanging calls end."""
        former = self._standing.pop(fault.instance, None)
        if former is not None:
            former.cleared.set()
        if fault.kind is not Kind.NONE:
            self._standing[fault.instance] = Standing(fault, self._closing)

    def strike(self, instance: str, state: State) -> Standing | None:
        """Count one presence against the fault that strikes it; None: it works."""
        if not self._standing:
            return None
        for standing in self._of(instance):
            if standing.strikes(state):
                standing.struck += 1
                return standing
        return None

    def is_connected(self, instance: str) -> bool:
        """Whether the instance's session, were it probed now, is connected."""
        return all(standing.fault.kind is not Kind.NOT_CONNECTED for standing in self._of(instance)[:1])

    def listed(self) -> list[dict[str, Any]]:
        """List what is in force; a spent fault is not."""
        return [standing.listed() for standing in self._standing.values() if not standing.spent]

    def clear(self) -> None:
        """End every fault, and the calls that hang in them; what is on its way in a late call still arrives."""
        for standing in self._standing.values():
            standing.cleared.set()
        self._standing.clear()

    def close(self) -> None:
        """End every fault and every call, late ones too: the server is going down."""
        self._closing.set()
        self.clear()

    def _of(self, instance: str) -> list[Standing]:
        """What is in force for an instance, its own before everybody's."""
        found = [self._standing[name] for name in (instance, ALL) if name in self._standing]
        return [standing for standing in found if not standing.spent]


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
