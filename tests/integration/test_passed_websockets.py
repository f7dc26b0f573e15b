"""The WebSocket passes: messages both ways, why a side closed, and what is too much."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType
from passing import UPGRADE, Door, opened, passed
from redis.asyncio import Redis as AsyncRedis
from world import until
from yarl import URL

from gateway.presence.model import Target

pytestmark = pytest.mark.one_server(
    "WebSockets from here to an upstream; their tokens are admitted by the same script as any"
)


async def listening(door: Door, **options: object) -> aiohttp.ClientWebSocketResponse:
    """Connect a caller, and wait until the upstream has them."""
    door.fake.rest.websocket = {"enabled": True, "events": [], "mediaBase64": False}
    known = list(door.fake.rest.listeners)
    url = f"{door.url}/ws/shop?token={door.tenant.instance_token}"
    socket = await door.http.ws_connect(url, **options)  # type: ignore[call-overload]
    await until(lambda: any(one not in known for one in door.fake.rest.listeners), within_s=5)
    assert isinstance(socket, aiohttp.ClientWebSocketResponse)
    return socket


async def test_messages_go_both_ways_and_the_credential_is_starred_out(door: Door) -> None:
    before = passed(101)
    async with await listening(door) as socket:
        await door.fake.rest.publish("shop", door.fake.CREDENTIAL, "message.exchange", {"text": "olá"})
        told = json.loads(await socket.receive_str(timeout=5))
        assert told["instanceData"]["token"] == "*" * len(door.fake.CREDENTIAL)
        assert told["data"] == {"text": "olá"}
        await socket.send_str("é")
        await socket.send_bytes(b"\xff\x00")
        await until(lambda: door.fake.rest.heard == ["é", b"\xff\x00"], within_s=5)
        assert passed(101) == before + 1


async def test_the_handshake_carries_the_exchanged_token_and_the_limit(door: Door) -> None:
    async with await listening(door, protocols=("other", "events")) as socket:
        asked = door.fake.requests[-1]
        assert asked.path == "/ws/shop"
        assert asked.headers["token"] == door.fake.CREDENTIAL
        assert door.tenant.instance_token not in str(asked)
        assert socket.protocol == "events"
        assert socket.get_extra_info("peername")
    response, _ = await door.call("GET", "/ws/shop", headers=UPGRADE | {"Sec-WebSocket-Version": "12"})
    assert response.status == 400


async def test_a_refusal_of_the_upstream_is_an_answer(door: Door) -> None:
    response, body = await door.call("GET", "/ws/shop", headers=UPGRADE)
    assert (response.status, response.content_type) == (400, "application/json")
    assert json.loads(body)["error"]["message"].startswith("WebSocket is not enabled for this instance.")
    assert response.headers["X-RateLimit-Limit"] == "10000"
    door.fake.failing = "limit"
    response, _ = await door.call("GET", "/ws/shop", headers=UPGRADE)
    assert (response.status, response.headers["X-RateLimit-Reset"]) == (429, "1795305600")


async def test_without_an_upgrade_it_is_a_request_like_others(door: Door) -> None:
    response, _ = await door.call("GET", "/ws/shop?a=b")
    assert response.status == 400
    assert door.fake.requests[-1].path == "/ws/shop?a=b"


@pytest.mark.parametrize(("code", "reason"), [(1001, b""), (4000, b"bye"), (1000, b"")])
async def test_each_side_is_told_why_the_other_closed(door: Door, code: int, reason: bytes) -> None:
    socket = await listening(door)
    await door.fake.rest.hang_up(code, reason)
    closed = await socket.receive(timeout=5)
    assert (closed.type, socket.close_code, closed.extra) == (WSMsgType.CLOSE, code, reason.decode())
    socket = await listening(door)
    door.fake.rest.closed.clear()
    await socket.close(code=code, message=reason)
    await until(lambda: door.fake.rest.closed == [code], within_s=5)


async def test_the_credential_is_starred_out_of_a_reason_too(door: Door) -> None:
    socket = await listening(door)
    await door.fake.rest.hang_up(4001, b"no right-credential")
    assert (await socket.receive(timeout=5)).extra == "no ****************"


async def test_a_side_that_just_goes_is_told_to_the_other(door: Door) -> None:
    socket = await listening(door)
    for listener in door.fake.rest.listeners:
        transport = listener._req.transport if listener._req else None
        assert transport is not None
        transport.abort()
    assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
    assert socket.close_code == WSCloseCode.BAD_GATEWAY
    socket = await listening(door)
    door.fake.rest.closed.clear()
    assert socket._conn is not None
    assert socket._conn.transport is not None
    socket._conn.transport.abort()
    await until(lambda: door.fake.rest.closed == [WSCloseCode.GOING_AWAY], within_s=5)


async def test_pings_are_answered_on_each_side(door: Door) -> None:
    async with await listening(door, autoping=False) as socket:
        await socket.ping(b"here?")
        pong = await socket.receive(timeout=5)
        assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"here?")


async def test_a_message_that_is_too_long_closes_both_sides(redis: AsyncRedis, redis_url: str, door: Door) -> None:
    async with opened_again(redis_url, door, max_message_bytes=1000) as small:
        socket = await listening(small)
        await socket.send_bytes(b"x" * 1001)
        await socket.receive(timeout=5)
        assert socket.close_code == WSCloseCode.MESSAGE_TOO_BIG
        await until(lambda: small.fake.rest.closed == [WSCloseCode.MESSAGE_TOO_BIG], within_s=5)
        socket = await listening(small)
        await small.fake.rest.publish("shop", "t", "message.exchange", "x" * 1000)
        await socket.receive(timeout=5)
        assert socket.close_code == WSCloseCode.MESSAGE_TOO_BIG


def opened_again(redis_url: str, door: Door, **limits: Any) -> AbstractAsyncContextManager[Door]:
    return opened(redis_url, door.fake, door.fake.target(), tenant=door.tenant, **limits)


async def test_more_messages_than_allowed_wait_and_none_is_lost(redis_url: str, door: Door) -> None:
    async with opened_again(redis_url, door, messages_per_s=100) as slow, await listening(slow) as socket:
        began = asyncio.get_running_loop().time()
        for number in range(160):
            await socket.send_str(str(number))
        await until(lambda: len(slow.fake.rest.heard) == 160, within_s=5)
        assert slow.fake.rest.heard == [str(number) for number in range(160)]
        # A second's worth passes at once, the rest at the rate.
        assert asyncio.get_running_loop().time() - began >= 0.5


@pytest.mark.parametrize("what", ["token", "instance", "moved"])
async def test_who_may_no_longer_read_is_closed(door: Door, what: str) -> None:
    socket = await listening(door)
    directory, instance = door.services.directory, door.tenant.instance
    if what == "token":
        tokens = await directory.tokens(instance.account_id)
        await directory.revoke_token(next(token.id for token in tokens if token.kind == "instance"))
    elif what == "instance":
        await door.services.removal.delete_instance(instance, by="test")
    else:
        await door.services.moves.move_instance(instance.id, Target("ryzeapi", door.fake.url, "elsewhere", "another"))
    assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
    assert socket.close_code == WSCloseCode.POLICY_VIOLATION


async def test_as_many_as_allowed_are_open_and_one_that_closed_makes_room(redis_url: str, door: Door) -> None:
    async with opened_again(redis_url, door, websockets_per_account=1) as small:
        socket = await listening(small)
        assert await small.refusal("GET", "/ws/shop", headers=UPGRADE) == (503, "Service temporarily unavailable")
        await socket.close()
        await until(lambda: not small.fake.rest.listeners, within_s=5)
        async with await listening(small):
            pass


async def test_a_gateway_that_leaves_closes_them_in_time(redis_url: str, door: Door) -> None:
    async with opened_again(redis_url, door) as leaving:
        socket = await listening(leaving)
        waiting = asyncio.create_task(socket.receive(timeout=10))
        url = URL(leaving.url)
    closed = await waiting
    assert (closed.type, socket.close_code) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)
    assert url.port
