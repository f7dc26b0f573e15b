"""Whoever has a token and means harm reaches nothing but their own session, and takes no more than their share."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from passing import CHAT, TEXT, UPGRADE, Door, opened, passed
from world import until
from yarl import URL

pytestmark = pytest.mark.one_server("HTTP, and what this process holds for a caller")

TOO_LARGE = (413, "Request body too large")
FULL = (503, "Service temporarily unavailable")


async def say(door: Door, head: str, body: bytes = b"") -> bytes:
    """Send exactly these bytes, with the token; what comes back first."""
    url = URL(door.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        text = head.replace("\n", "\r\n").replace("TOKEN", door.tenant.instance_token)
        writer.write(text.encode("latin-1") + b"\r\n\r\n" + body)
        return await asyncio.wait_for(reader.read(65536), 10)
    finally:
        writer.close()


@asynccontextmanager
async def small(redis_url: str, door: Door, **limits: Any) -> AsyncIterator[Door]:
    async with opened(
        redis_url, door.fake, door.fake.target(), tenant=door.tenant, **{"timeout_s": 0.8, **limits}
    ) as other:
        yield other


@pytest.mark.parametrize(
    "path",
    [
        "/api/message/../../admin/shop",
        "/api/message/%2e%2e/%2e%2e/admin/shop",
        "/api/message/%252e%252e/admin/shop",
        "/api/message/text/..%2fother",
        "/api/message/text/shop%2f..%2fother",
        "/api/message/text/shop/../other",
        "/api/message/text/shop%00other",
        "/api/message/text/other",
        "/api/message/text/acme.other",
        "/api/message/text/shop;other",
        "/api/message/text/shop\\other",
        "/api/instance/delete/shop/x",
        "/api/instance/new/shop",
        "/ws/other",
        "/ws/../api/message/text/other",
        "//api/message/text/other",
    ],
)
async def test_no_path_leads_past_the_callers_instance(door: Door, path: str) -> None:
    door.fake.credentials[door.fake.CREDENTIAL] = "*"
    door.fake.sessions["other"] = "connected"
    answer = await say(door, f"GET {path} HTTP/1.1\nHost: x\ntoken: TOKEN\nConnection: close")
    assert answer.split(b" ")[1] in {b"400", b"403", b"404"}
    assert [asked for asked in door.fake.requests if "token" in asked.headers] == []


async def test_neither_host_nor_an_absolute_form_chooses_whom_is_reached(door: Door) -> None:
    head = (
        "GET http://127.0.0.1:1/api/profile/getAccount/shop HTTP/1.1\nHost: elsewhere\ntoken: TOKEN\nConnection: close"
    )
    assert (await say(door, head)).startswith(b"HTTP/1.1 200 ")
    (asked,) = door.fake.requests
    assert asked.headers["Host"] == URL(door.fake.url).authority


async def test_a_header_takes_neither_the_credential_away_nor_brings_another(door: Door) -> None:
    head = (
        "GET /api/profile/getAccount/shop?token=other HTTP/1.1\nHost: x\ntoken: TOKEN\nToken: other\n"
        "Authorization: Bearer other\nX-Forwarded-For: 1.2.3.4\nX-Original-URL: /api/admin\nX_Forwarded_Host: y\n"
        "Connection: close, token, X-Gone\nX-Gone: x\nTE: trailers\nProxy-Authorization: z\nX-Kept: yes"
    )
    assert (await say(door, head)).startswith(b"HTTP/1.1 200 ")
    (asked,) = door.fake.requests
    names = {name.lower() for name in asked.headers}
    assert names == {"host", "token", "x-kept", "accept-encoding"}
    assert asked.headers["token"] == door.fake.CREDENTIAL
    assert asked.path == "/api/profile/getAccount/shop"


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "anything"])
async def test_an_upgrade_does_not_turn_the_way_to_the_upstream_into_a_tunnel(door: Door, protocol: str) -> None:
    head = (
        f"POST /api/profile/account/shop HTTP/1.1\nHost: x\ntoken: TOKEN\nConnection: Upgrade\nUpgrade: {protocol}\n"
        "Content-Length: 2"
    )
    smuggled = b"GET /api/message/text/other HTTP/1.1\r\nHost: x\r\ntoken: other\r\nConnection: close\r\n\r\n"
    answer = await say(door, head, b"{}" + smuggled)
    assert answer.startswith(b"HTTP/1.1 200 ")
    (asked,) = door.fake.requests
    assert (asked.path, asked.body) == ("/api/profile/account/shop", b"{}")
    assert not {"Upgrade", "Connection"} & set(asked.headers)


async def test_an_upstream_that_switches_protocols_unasked_is_refused(door: Door) -> None:
    async def switch(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi")
        await asyncio.sleep(0.5)
        return web.Response()

    door.fake.misbehaviour = switch
    assert await door.refusal("GET", "/api/profile/getAccount/shop") == (502, "Upstream rejected the request")


async def test_two_lengths_are_never_passed_on(door: Door) -> None:
    head = "POST /api/profile/account/shop HTTP/1.1\nHost: x\ntoken: TOKEN\nConnection: close\nContent-Length: 5\n"
    answer = await say(door, head + "Transfer-Encoding: chunked", b"0\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"
    assert door.fake.requests == []


async def test_a_body_whose_length_is_too_long_is_refused_before_it_is_read(redis_url: str, door: Door) -> None:
    async with small(redis_url, door, max_body_bytes=1000) as limited:
        assert await limited.refusal("POST", TEXT, data=b"x" * 1001) == TOO_LARGE
        assert door.fake.requests == []
        response, _ = await limited.call("POST", "/api/profile/account/shop", data=b" " * 998 + b"{}")
        assert response.status == 200


async def test_a_body_without_a_length_is_cut_off_where_it_is_too_long(redis_url: str, door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100
            await asyncio.sleep(0.001)

    async with small(redis_url, door, max_body_bytes=1000) as limited:
        assert await limited.refusal("POST", TEXT, data=endless()) == TOO_LARGE
    assert door.fake.rest.sent == []
    assert [asked for asked in door.fake.requests if asked.status] == []


@pytest.mark.parametrize("packed", [gzip.compress(b"x" * 1_000_000), zlib.compress(b"x" * 1_000_000)])
async def test_a_compressed_body_counts_unpacked(redis_url: str, door: Door, packed: bytes) -> None:
    headers = {"Content-Encoding": "gzip" if packed[:2] == b"\x1f\x8b" else "deflate"}
    async with small(redis_url, door, max_body_bytes=100_000) as limited:
        assert await limited.refusal("POST", TEXT, data=packed, headers=headers) == TOO_LARGE


async def test_a_compressed_body_is_passed_unpacked(door: Door) -> None:
    body = json.dumps({"number": CHAT, "message": "Hi"}).encode()
    response, _ = await door.call("POST", TEXT, data=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert response.status == 200
    (asked,) = door.fake.requests
    assert asked.body == body
    assert "Content-Encoding" not in asked.headers


async def test_a_body_that_never_ends_is_a_408(door: Door) -> None:
    head = "POST /api/message/text/shop HTTP/1.1\nHost: x\ntoken: TOKEN\nConnection: close\nContent-Length: 100"
    answer = await say(door, head, b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert door.fake.rest.sent == []


async def test_a_broken_body_is_a_400(door: Door) -> None:
    head = "POST /api/message/text/shop HTTP/1.1\nHost: x\ntoken: TOKEN\nConnection: close\nTransfer-Encoding: chunked"
    answer = await say(door, head, b"5\r\nhello\r\nnothex\r\n")
    assert answer.split(b" ")[1] == b"400"
    assert door.fake.rest.sent == []


async def test_a_caller_who_leaves_in_the_middle_of_a_body_ends_the_upstreams_call(door: Door) -> None:
    before = passed(499)
    url = URL(door.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\ntoken: {door.tenant.instance_token}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await until(lambda: passed(499) == before + 1, within_s=5)
    assert door.fake.rest.sent == []


async def test_a_client_that_never_reads_is_cut_off_and_the_upstream_waits_meanwhile(door: Door) -> None:
    written, ended = [0], asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 100_000)
                written[0] += 100_000
        finally:
            ended.set()

    door.fake.misbehaviour = flood
    url = URL(door.url)
    _, writer = await asyncio.open_connection(url.host, url.port, limit=1)
    token = door.tenant.instance_token
    writer.write(f"GET /api/profile/getAccount/shop HTTP/1.1\r\nHost: x\r\ntoken: {token}\r\n\r\n".encode())
    await asyncio.wait_for(ended.wait(), 10)
    # What the kernel's buffers take, of two connections, and some of ours.
    assert written[0] < 30_000_000
    writer.close()


async def test_an_upstream_that_answers_before_it_has_read_leaves_nothing_behind(door: Door) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=413, text="too much for me")

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await asyncio.sleep(0.3)
        yield b"x"

    app = web.Application()
    app.router.add_post("/{any:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    target = door.fake.target()
    await door.services.moves.move_instance(
        door.tenant.instance.id, type(target)("ryzeapi", f"http://127.0.0.1:{port}", "shop", "c0c0c0c0")
    )
    response, body = await door.call("POST", TEXT, data=slow())
    assert (response.status, body) == (413, b"too much for me")
    connector = door.services.forwarding._anywhere.connector
    assert connector is not None
    await until(lambda: not connector._acquired, within_s=5)
    await runner.cleanup()


async def test_an_account_takes_its_share_and_another_passes_beside_it(redis_url: str, door: Door) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(0 if "other" in request.path else 5)
        return web.Response()

    door.fake.misbehaviour = hang
    async with small(redis_url, door, timeout_s=2, max_in_flight_per_account=2, max_in_flight=3) as limited:
        directory = limited.services.directory
        other = await directory.create_account("other")
        await directory.create_instance(other.id, "shop", upstream=door.fake.target(session="other"))
        waiting = [asyncio.create_task(limited.call("GET", "/api/a/shop")) for _ in range(2)]
        await until(lambda: len(door.fake.requests) == 2, within_s=5)
        assert await limited.refusal("GET", "/api/a/shop") == FULL
        response, _ = await limited.call("GET", "/api/a/shop")
        assert response.headers["Retry-After"] == "1"
        response, _ = await limited.call("GET", "/api/a/shop", token=other.token)
        assert response.status == 200
        before = passed(499)
        for task in waiting:
            task.cancel()
        await until(lambda: passed(499) == before + 2, within_s=5)
        door.fake.misbehaviour = None
        response, _ = await limited.call("GET", "/api/profile/getAccount/shop")
        assert response.status == 200


async def test_whoever_fills_all_places_leaves_presences_alone(redis_url: str, door: Door) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with small(redis_url, door, timeout_s=2, max_in_flight=1) as limited:
        door.fake.misbehaviour = hang
        waiting = asyncio.create_task(limited.call("GET", "/api/a/shop"))
        await until(lambda: bool(door.fake.requests), within_s=5)
        door.fake.misbehaviour = None
        assert await limited.refusal("GET", "/api/a/shop") == FULL
        assert (await limited.client().presence(CHAT, "typing", 1)).status == 200
        waiting.cancel()


async def test_a_flood_of_frames_waits_at_its_sender(redis_url: str, door: Door) -> None:
    door.fake.rest.websocket = {"enabled": True}
    sent = 0
    async with small(redis_url, door, messages_per_s=100) as limited:
        url = URL(limited.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        token = limited.tenant.instance_token
        writer.write(f"GET /ws/shop HTTP/1.1\r\nHost: x\r\ntoken: {token}\r\n{head}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        frames = b"\x81\x81\0\0\0\0a" * 1000
        # Until nothing more is taken: the kernel's buffers are full, and ours hold about a thousand.
        with suppress(TimeoutError):
            while True:
                writer.write(frames)
                sent += 1000
                await asyncio.wait_for(writer.drain(), 0.5)
        await until(lambda: len(door.fake.rest.heard) >= 150, within_s=5)
        assert len(door.fake.rest.heard) < 400
        assert sent > 10_000
        assert (await limited.client().presence(CHAT, "typing", 1)).status == 200
        assert writer.transport is not None
        writer.transport.abort()
