"""Both ways by which a request reaches an upstream: the same bytes, the same bounds, and what the fast one leans on."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from world import TRANSPORTS
from yarl import URL

from gateway.fast.upstream_http import FastTransport
from gateway.presence.model import Outcome, Target
from gateway.settings import Fast, Redis, Settings
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.http import MOST_BYTES, SessionTransport, outcome_of
from gateway.upstreams.policy import AddressRefused
from gateway.upstreams.pools import Pools, open_pools
from gateway.upstreams.resolver import open_resolver
from gateway.wiring import open_services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

every_way = pytest.mark.parametrize("way", TRANSPORTS)
CURE = "mend gateway/fast/upstream_http.py; until then, set [fast] upstream_http = false"


@asynccontextmanager
async def speaking(way: str, *, connections: int = 4) -> AsyncIterator[Pools]:
    transport = TRANSPORTS[way]
    async with (
        open_resolver() as resolver,
        open_pools(
            resolver, connections=connections, connections_per_origin=connections, open_transport=transport
        ) as pools,
    ):
        yield pools


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{any:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Target("wuzapi", f"http://127.0.0.1:{runner.addresses[0][1]}/base/", "s")
    await runner.cleanup()


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[Target, list[bytes]]]:
    """A server that reads one packet of each connection, answers these bytes, and closes."""
    asked: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield Target("wuzapi", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "s"), asked


@every_way
async def test_a_request_carries_what_its_call_says_and_little_else(way: str) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (target, asked), speaking(way) as pools:
        call = Call("/chat/presence?x=a%26b", {"Phone": "1"}, {"token": "t0ken"})
        assert await pools.send(target, call, 5.0) == Reply(200, b"{}")
    head, _, body = asked[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /chat/presence?x=a%26b HTTP/1.1"
    assert body == b'{"Phone":"1"}'
    assert {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)} == {
        "host": target.url.removeprefix("http://"),
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "presence-gateway",
        "token": "t0ken",
        "content-type": "application/json",
        "content-length": "13",
    }


@every_way
@pytest.mark.parametrize(("method", "length"), [("GET", None), ("POST", "0")])
async def test_a_call_without_a_body_has_none(way: str, method: str, length: str | None) -> None:
    async def look(request: web.Request) -> web.Response:
        return web.json_response([request.method, request.path, request.headers.get("Content-Length")])

    async with serving(look) as target, speaking(way) as pools:
        reply = await pools.send(target, Call("/x", method=method), 5.0)  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    assert reply.json == [method, "/base/x", length]


@every_way
async def test_connections_are_kept_for_the_next_request(way: str) -> None:
    async def look(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.json_response(request.transport.get_extra_info("peername")[1])

    async with serving(look) as target, speaking(way) as pools:
        replies = [await pools.send(target, Call("/x", {}), 5.0) for _ in range(5)]
    assert len({reply.body for reply in replies if isinstance(reply, Reply)}) == 1


@every_way
async def test_cookies_are_not_kept(way: str) -> None:
    async def bake(request: web.Request) -> web.Response:
        response = web.json_response(dict(request.cookies))
        response.set_cookie("session", "someone")
        return response

    async with serving(bake) as target, speaking(way) as pools:
        replies = [await pools.send(target, Call("/x", {}), 5.0) for _ in range(2)]
    assert [reply.body for reply in replies if isinstance(reply, Reply)] == [b"{}", b"{}"]


@every_way
@pytest.mark.parametrize(("size", "fits"), [(MOST_BYTES, True), (MOST_BYTES + 1, False), (50 * MOST_BYTES, False)])
async def test_an_answer_has_a_bound(way: str, size: int, fits: bool) -> None:
    async def talk(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size, headers={"Retry-After": "7"})

    async with serving(talk) as target, speaking(way) as pools:
        result = await pools.send(target, Call("/x", {}), 5.0)
    assert result == (Reply(200, b"x" * size, "7") if fits else Outcome.GARBLED)


@every_way
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Reply(200, b"{}")),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", Reply(200, b"until the end")),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Reply(302)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", Outcome.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\n", Outcome.UNKNOWN),
        (b"", Outcome.UNKNOWN),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Outcome.GARBLED),
    ],
    ids=["1xx", "without a length", "redirect", "cut short", "half a head", "nothing", "another protocol"],
)
async def test_an_answer_is_read_alike_by_both(way: str, answer: bytes, result: Reply | Outcome) -> None:
    async with listening(answer) as (target, asked), speaking(way) as pools:
        assert await pools.send(target, Call("/x", {}), 5.0) == result
    assert len(asked) == 1


@every_way
@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\0b"])
async def test_a_credential_that_is_no_header_is_refused_before_anything_is_sent(way: str, value: str) -> None:
    async with listening(b"") as (target, asked), speaking(way) as pools:
        assert await pools.send(target, Call("/x", {}, {"token": value}), 5.0) is Outcome.REJECTED
    assert asked == []


@every_way
@pytest.mark.parametrize("url", ["http://", "nonsense", "http://[::1", "http://a:b"])
async def test_a_url_that_is_none_is_rejected(way: str, url: str) -> None:
    async with speaking(way) as pools:
        assert await pools.send(Target("wuzapi", url, "s"), Call("/x", {}), 5.0) is Outcome.REJECTED


@every_way
@pytest.mark.parametrize("timeout_s", [0.3, 5.0])
async def test_who_gets_no_connection_in_time_has_sent_nothing(way: str, timeout_s: float) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(hang) as target, speaking(way, connections=1) as pools:
        holding = asyncio.create_task(pools.send(target, Call("/x", {}), 10.0))
        await asyncio.sleep(0.1)
        assert await pools.send(target, Call("/x", {}), timeout_s) is Outcome.UNAVAILABLE
        holding.cancel()


@every_way
async def test_silence_ends_with_the_timeout_and_is_unknown(way: str) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(hang) as target, speaking(way) as pools, asyncio.timeout(5):
        assert await pools.send(target, Call("/x", {}), 0.2) is Outcome.UNKNOWN


@every_way
async def test_a_port_where_nobody_listens_was_told_nothing(way: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = Target("wuzapi", f"http://127.0.0.1:{taken.getsockname()[1]}", "s")
        async with speaking(way) as pools:
            assert await pools.send(target, Call("/x", {}), 5.0) is Outcome.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiohttp.InvalidURL("x"), Outcome.REJECTED),
        (UnicodeEncodeError("ascii", "é", 0, 1, ""), Outcome.REJECTED),
        (aiohttp.ConnectionTimeoutError(), Outcome.UNAVAILABLE),
        (HttpProcessingError(), Outcome.GARBLED),
        (aiohttp.ClientPayloadError(), Outcome.UNKNOWN),
        (aiohttp.ServerDisconnectedError(), Outcome.UNKNOWN),
        (aiohttp.ServerTimeoutError(), Outcome.UNKNOWN),
        (aiohttp.ClientOSError(), Outcome.UNKNOWN),
        (TimeoutError(), Outcome.UNKNOWN),
        (ConnectionResetError(), Outcome.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_a_transport_raises_is_read_in_one_table(error: Exception, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


def test_an_address_that_tenants_may_not_reach_is_told_from_one_that_does_not_answer() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
    assert outcome_of(aiohttp.ClientConnectorDNSError(key, AddressRefused("h"))) is Outcome.NOT_ALLOWED
    assert outcome_of(aiohttp.ClientConnectorDNSError(key, OSError(1, "h"))) is Outcome.UNAVAILABLE


@pytest.mark.parametrize(("is_fast", "kind"), [(True, FastTransport), (False, SessionTransport)])
async def test_a_setting_chooses_the_way(is_fast: bool, kind: type) -> None:
    settings = Settings(redis=Redis(url="redis://127.0.0.1:1"), fast=Fast(upstream_http=is_fast))
    async with open_services(settings) as services:
        pools = services.upstreams._pools
        assert {type(pools.anywhere.transport), type(pools.public.transport)} == {kind}


# Canaries: what the fast way leans on in aiohttp.


async def test_a_response_handler_keeps_its_parser_where_the_fast_way_looks_for_it() -> None:
    handler = ResponseHandler(asyncio.get_running_loop())
    assert hasattr(handler, "_parser"), f"aiohttp's ResponseHandler._parser is gone: {CURE}"
    assert handler._parser is None, CURE
    handler.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=MOST_BYTES)
    assert handler._parser is not None, CURE


def test_a_connector_takes_a_request_its_traces_and_its_limits() -> None:
    assert list(inspect.signature(aiohttp.TCPConnector.connect).parameters) == ["self", "req", "traces", "timeout"], (
        CURE
    )


async def test_a_request_needs_no_session() -> None:
    request = aiohttp.ClientRequest("GET", URL("http://h:1"), session=cast("aiohttp.ClientSession", None))
    assert (request.headers["Host"], request.connection_key.host) == ("h:1", "h"), CURE
