"""The sandbox's HTTP server: all its routes on one screen, and `create_sandbox()`."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from aiohttp import web

from gateway.presence.errors import GatewayError
from gateway.presence.model import State
from gateway.process import envelope
from gateway.process.pages import SHARED_SHEET, page
from gateway.sandbox.faults import Fault, Faults, Kind
from gateway.sandbox.keys import FAULTS, PHONE, WEBHOOKS
from gateway.sandbox.phone import Message, Phone, Told
from gateway.sandbox.playing import play, refuse
from gateway.sandbox.ryzeapi import list_instances, send_presence, send_text
from gateway.sandbox.webhooks import Webhook, Webhooks

HEARTBEAT_S = web.AppKey("heartbeat_s", float)

MAX_BODY = 4096
"""Bytes; a presence needs a hundred."""

_PAGE = Path(__file__).parent / "page"
# Proxies must pass each event on as it comes.
_STREAM_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY = b"retry: 1000\n\n"
_HEARTBEAT = b": heartbeat\n\n"
_OK = b'{"ok":true}'

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_sandbox(clock: Callable[[], float] = time.time, heartbeat_s: float = 10.0) -> web.Application:
    """Build the server; `clock` gives Unix seconds, `heartbeat_s` keeps a silent event stream alive.

    Run it without an access log (`web.AppRunner(app, access_log=None)`) where many calls are expected.
    """
    app = web.Application(middlewares=[_errors_as_json], client_max_size=MAX_BODY)
    app[PHONE] = Phone(clock)
    app[FAULTS] = Faults()
    app[WEBHOOKS] = Webhooks()
    app[HEARTBEAT_S] = heartbeat_s
    app.add_routes(
        [
            web.post("/instances/{instance}/presence", tell),
            web.get("/instances/{instance}", probe),
            web.post("/api/chat/presence/{instance}", send_presence),
            web.post("/api/message/text/{instance}", send_text),
            web.get("/api/instance/list", list_instances),
            web.post("/webhook", order_webhook),
            web.get("/calls", calls),
            web.get("/events", events),
            web.get("/faults", list_faults),
            web.post("/faults", order_fault),
            web.delete("/faults", clear_faults),
            web.get("/", page(_PAGE / "index.html")),
            web.get("/shared.css", page(SHARED_SHEET)),
            web.get("/phone.css", page(_PAGE / "phone.css")),
            web.get("/phone.js", page(_PAGE / "phone.js")),
        ],
    )
    app.on_shutdown.append(_release)
    app.on_cleanup.append(_close)
    return app


class Presence(msgspec.Struct, frozen=True):
    """The body of a presence; `chat` is a JID."""

    chat: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^@\s]+@[a-z.]+$")]
    state: State


class CallsQuery(msgspec.Struct, frozen=True):
    """Which calls are asked for: those numbered above `since`."""

    since: Annotated[int, msgspec.Meta(ge=0)] = 0
    instance: str | None = None


_PRESENCE = msgspec.json.Decoder(Presence)
_FAULT = msgspec.json.Decoder(Fault)
_WEBHOOK = msgspec.json.Decoder(Webhook)


async def tell(request: web.Request) -> web.StreamResponse:
    """Tell the phone a presence, unless a fault strikes."""
    presence = _PRESENCE.decode(await request.read())
    instance = request.match_info["instance"]
    fault = request.app[FAULTS].strike(instance, presence.state)
    if fault is not None:
        return await play(fault, request, partial(request.app[PHONE].tell, instance, presence.chat, presence.state))
    request.app[PHONE].tell(instance, presence.chat, presence.state)
    return web.Response(body=_OK, content_type="application/json")


async def probe(request: web.Request) -> web.Response:
    """Say whether the instance's session is connected; every name is an instance."""
    instance = request.match_info["instance"]
    connected = request.app[FAULTS].is_connected(instance)
    return _json({"instance": instance, "state": "connected" if connected else "disconnected"})


async def order_webhook(request: web.Request) -> web.Response:
    """Report an instance's messages to an address from now on, or to nobody."""
    request.app[WEBHOOKS].order(_WEBHOOK.decode(await request.read()))
    return web.Response(body=_OK, content_type="application/json")


async def calls(request: web.Request) -> web.Response:
    """List what was told."""
    query = msgspec.convert(dict(request.query), CallsQuery, strict=False)
    return _json({"calls": request.app[PHONE].since(query.since, query.instance)})


async def events(request: web.Request) -> web.StreamResponse:
    """Stream what is told: a snapshot, then every call, as server-sent events."""
    phone, instance = request.app[PHONE], request.query.get("instance")
    stream = web.StreamResponse(headers=_STREAM_HEADERS)
    await stream.prepare(request)
    # A listener that cannot keep up is cut off, or its events would pile up here.
    with phone.listen(instance, overrun=partial(_cut_off, request)) as listener, suppress(ConnectionError):
        await stream.write(_RETRY + _event("snapshot", phone.snapshot(instance)))
        while not listener.closed:
            heard = await listener.take(quiet_s=request.app[HEARTBEAT_S])
            await stream.write(b"".join(_event(_NAME_OF[type(told)], told) for told in heard) or _HEARTBEAT)
    return stream


async def list_faults(request: web.Request) -> web.Response:
    """List the faults in force, and every kind with a line on what it does."""
    return _json({"faults": request.app[FAULTS].listed(), "kinds": {kind: kind.about for kind in Kind}})


async def order_fault(request: web.Request) -> web.Response:
    """Put a fault in force."""
    request.app[FAULTS].order(_FAULT.decode(await request.read()))
    return _json({"ok": True, "faults": request.app[FAULTS].listed()})


async def clear_faults(request: web.Request) -> web.Response:
    """End every fault."""
    request.app[FAULTS].clear()
    return _json({"ok": True, "faults": []})


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        return envelope.refusal(error)
    except web.HTTPException as error:
        return refuse(error.status, error.reason)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refuse(400, str(error))


async def _release(app: web.Application) -> None:
    """Let nothing that hangs or listens hold up the server's end."""
    app[FAULTS].close()
    app[PHONE].hang_up()


async def _close(app: web.Application) -> None:
    await app[WEBHOOKS].close()


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


_NAME_OF: dict[type[msgspec.Struct], str] = {Told: "call", Message: "message"}


def _event(name: str, data: msgspec.Struct) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


def _cut_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
