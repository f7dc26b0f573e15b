"""The least that can be done in Python, as a process of its own: what nginx + Lua does, on our own fast parts.

    python -m comparison.least PORT VALKEY_URL UPSTREAM_URL

aiohttp, one script over the shared pipeline, one request over the kept connections. It has no settlement, no log line,
no metric, no breaker, no check of a body: a gateway that has all that cannot be faster than this.
"""

import hashlib
import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import uvloop
from aiohttp import web

from comparison.processes import HERE, LOOPBACK
from gateway.fast import upstream_http
from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Target
from gateway.store.redis import open_pipeline
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.pools import Pools, open_pools
from gateway.upstreams.resolver import open_resolver

SOURCE = (HERE / "lua/command.lua").read_text()
SHA = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()

REDIS = web.AppKey("REDIS", Pipeline)
POOLS = web.AppKey("POOLS", Pools)
UPSTREAM = web.AppKey("UPSTREAM", Target)

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def token_key(token: str) -> str:
    return "pg:token:" + hmac.digest(b"pepper", token.encode(), hashlib.sha256).hex()


async def answer(request: web.Request) -> web.Response:
    """Admit and promise in one step, tell the upstream, answer."""
    app, instance = request.app, request.match_info["instance"]
    command = _decode(await request.read())
    key, chat = token_key(request.headers["token"]), f"{command['number']}@s.whatsapp.net"
    verdict = await app[REDIS].execute_command(
        "EVALSHA",
        SHA,
        4,
        key,
        f"pg:w:{key}",
        f"pg:c:{instance}:{chat}",
        "pg:queue",
        instance,
        chat,
        command["state"],
        command["duration"] * 1000,
    )
    if verdict[0] != b"ok":
        return web.Response(status=429)
    body = {"Phone": command["number"], "State": "composing", "Media": ""}
    call = Call("/chat/presence", body, {"token": "a-user-token-of-wuzapi"})
    reply = await app[POOLS].send(app[UPSTREAM], call, 4.5)
    if not isinstance(reply, Reply) or reply.status != 200 or not isinstance(_decode(reply.body), dict):
        return web.Response(status=502)
    data = {"chat_jid": chat, "state": command["state"], "duration": command["duration"]}
    headers = {"X-RateLimit-Limit": str(verdict[1]), "X-RateLimit-Remaining": str(verdict[2])}
    return web.Response(body=_encode({"success": True, **data}), content_type="application/json", headers=headers)


async def _open(app: web.Application) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        pipeline = await stack.enter_async_context(open_pipeline(sys.argv[2], connect_timeout_s=1, timeout_s=5))
        app[REDIS] = pipeline
        resolver = await stack.enter_async_context(open_resolver())
        app[POOLS] = await stack.enter_async_context(
            open_pools(
                resolver, connections=1024, connections_per_origin=256, open_transport=upstream_http.open_transport
            )
        )
        app[UPSTREAM] = Target("wuzapi", sys.argv[3], "")
        await pipeline.execute_command("SCRIPT", "LOAD", SOURCE)
        yield


def main() -> None:
    app = web.Application()
    app.cleanup_ctx.append(_open)
    app.router.add_post("/api/chat/presence/{instance}", answer)
    web.run_app(
        app,
        host=LOOPBACK,
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
        backlog=1024,
    )


if __name__ == "__main__":
    main()
