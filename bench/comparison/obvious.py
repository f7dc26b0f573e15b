"""The obvious stack as a process of its own: aiohttp, one call of redis-py at a time, arq's `enqueue_job`.

    python -m comparison.obvious PORT VALKEY_SOCKET UPSTREAM_URL

As one would write it in an afternoon, with uvloop and hiredis, and without a log line or a metric.
"""

import hashlib
import hmac
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import uvloop
from aiohttp import web
from arq.connections import ArqRedis, RedisSettings, create_pool

from comparison.processes import HERE, LOOPBACK

REDIS = web.AppKey("REDIS", ArqRedis)
UPSTREAM = web.AppKey("UPSTREAM", aiohttp.ClientSession)
SOCKET = web.AppKey("SOCKET", str)
UPSTREAM_URL = web.AppKey("UPSTREAM_URL", str)
LIMIT_SHA = web.AppKey("LIMIT_SHA", str)

PEPPER = b"pepper"


def token_key(token: str) -> str:
    return "token:" + hmac.new(PEPPER, token.encode(), hashlib.sha256).hexdigest()


async def send(request: web.Request) -> web.Response:
    """Look the token up, count it, promise the pause, tell the upstream, answer."""
    redis, instance = request.app[REDIS], request.match_info["instance"]
    command = await request.json()
    key = token_key(request.headers.get("token", ""))
    known = await redis.hgetall(key)  # type: ignore[misc]
    if known.get(b"instance") != instance.encode():
        return _failed(401, "invalid token")
    quota = await redis.evalsha(request.app[LIMIT_SHA], 1, f"window:{key}", known[b"limit"].decode())  # type: ignore[misc]
    if quota[0] != b"ok":
        return _failed(429, "rate limit exceeded")
    chat = f"{command['number']}@s.whatsapp.net"
    await redis.enqueue_job("pause", instance, chat, _defer_by=timedelta(seconds=command["duration"]))
    body = {"Phone": command["number"], "State": "composing", "Media": ""}
    headers = {"token": "a-user-token-of-wuzapi"}
    async with request.app[UPSTREAM].post(request.app[UPSTREAM_URL], json=body, headers=headers) as response:
        if response.status != 200 or not isinstance(await response.json(), dict):
            return _failed(502, "upstream")
    data = {"chat_jid": chat, "state": command["state"], "duration": command["duration"]}
    limits = dict(zip(("Limit", "Remaining", "Reset"), map(str, quota[1:]), strict=True))
    headers = {f"X-RateLimit-{name}": value for name, value in limits.items()}
    return web.json_response({"code": 200, "data": data, "success": True}, headers=headers)


def _failed(status: int, error: str) -> web.Response:
    return web.json_response({"code": status, "error": error, "success": False}, status=status)


async def _open(app: web.Application) -> AsyncIterator[None]:
    app[REDIS] = await create_pool(RedisSettings(unix_socket_path=app[SOCKET]))
    app[LIMIT_SHA] = await app[REDIS].script_load((HERE / "lua/limit.lua").read_text())
    async with aiohttp.ClientSession() as app[UPSTREAM]:
        yield
    await app[REDIS].aclose()


def main() -> None:
    _, port, socket, upstream_url = sys.argv
    app = web.Application()
    app[SOCKET], app[UPSTREAM_URL] = socket, f"{upstream_url}/chat/presence"
    app.cleanup_ctx.append(_open)
    app.router.add_post("/api/chat/presence/{instance}", send)
    web.run_app(
        app, host=LOOPBACK, port=int(port), access_log=None, print=None, loop=uvloop.new_event_loop(), backlog=1024
    )


if __name__ == "__main__":
    main()
