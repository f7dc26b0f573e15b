"""The sandbox's routes over real sockets: presences, the log, the event stream and the page."""

import asyncio
from itertools import count
from typing import Any, TypeAlias

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from gateway.presence.model import State
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.keys import PHONE
from gateway.sandbox.phone import WAITING_CALLS

Client: TypeAlias = TestClient[web.Request, web.Application]

CHAT = "5511999999999@s.whatsapp.net"
TYPING = {"chat": CHAT, "state": "typing"}
BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)


@pytest.fixture
def sandbox() -> web.Application:
    """A sandbox whose clock shows 100, 101, 102... as it is read."""
    ticks = count(100)
    return create_sandbox(clock=lambda: float(next(ticks)), heartbeat_s=0.01)


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, sandbox: web.Application) -> Client:
    return await aiohttp_client(sandbox)


async def told(client: Client, **query: str) -> list[dict[str, Any]]:
    async with client.get("/calls", params=query) as response:
        assert response.status == 200
        calls: list[dict[str, Any]] = (await response.json())["calls"]
        return calls


async def test_a_presence_is_applied_and_listed(client: Client) -> None:
    async with client.post("/instances/my%20demo/presence", json=TYPING) as response:
        assert (response.status, await response.json()) == (200, {"ok": True})
    assert await told(client) == [{"n": 1, "at": 100.0, "instance": "my demo", "chat": CHAT, "state": "typing"}]


async def test_calls_are_listed_since_a_number_and_by_instance(client: Client) -> None:
    for instance in ("demo", "shop", "demo"):
        await client.post(f"/instances/{instance}/presence", json=TYPING)
    assert [call["n"] for call in await told(client, since="1")] == [2, 3]
    assert [call["n"] for call in await told(client, since="1", instance="demo")] == [3]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"chat": "\xff@g.us", "state": "typing"}',
        b"{}",
        b'{"chat": "5511999999999", "state": "typing"}',
        b'{"chat": 5, "state": "typing"}',
        b'{"chat": "5@g.us", "state": "pause"}',
        b"[" * 4000,
    ],
)
async def test_a_bad_presence_is_refused_with_a_reason(client: Client, body: bytes) -> None:
    async with client.post("/instances/demo/presence", data=body) as response:
        assert response.status == 400
        assert isinstance((await response.json())["error"], str)
    assert await told(client) == []


async def test_an_oversized_presence_is_refused(client: Client) -> None:
    async with client.post("/instances/demo/presence", data=b" " * 5000) as response:
        assert (response.status, await response.json()) == (413, {"error": "Request Entity Too Large"})


@pytest.mark.parametrize("since", ["-1", "one", "9" * 5000])
async def test_a_bad_number_is_refused(client: Client, since: str) -> None:
    async with client.get("/calls", params={"since": since}) as response:
        assert response.status == 400
        assert "error" in await response.json()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/phone.html", 404), ("GET", "/instances", 404), ("POST", "/calls", 405)],
)
async def test_unknown_routes_are_refused_as_json(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.content_type == "application/json"
        assert "error" in await response.json()


async def test_every_instance_is_connected(client: Client) -> None:
    async with client.get("/instances/demo") as response:
        assert (response.status, await response.json()) == (200, {"instance": "demo", "state": "connected"})


async def test_the_clock_is_the_worlds_by_default(aiohttp_client: AiohttpClient) -> None:
    client: Client = await aiohttp_client(create_sandbox())
    await client.post("/instances/demo/presence", json=TYPING)
    assert (await told(client))[0]["at"] > 1_700_000_000


class Stream:
    """Reads server-sent events one by one."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, Any]:
        """The next block that carries data: its event's name and its data."""
        fields: dict[str, str] = {}
        while "data" not in fields:
            fields = dict(line.split(": ", 1) for line in await self.block())
        return fields["event"], msgspec.json.decode(fields["data"])

    async def block(self) -> list[str]:
        """The lines up to the next empty one."""
        lines: list[str] = []
        async for line in self._response.content:
            if line == b"\n":
                return lines
            lines.append(line.decode().rstrip("\n"))
        raise EOFError

    async def rest(self) -> None:
        """Read on until the stream ends or breaks, which raises."""
        while True:
            await self.block()


async def test_the_stream_begins_with_a_snapshot_and_goes_on_live(client: Client) -> None:
    await client.post("/instances/demo/presence", json=TYPING)
    async with client.get("/events") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        stream = Stream(response)
        call = {"n": 1, "at": 100.0, "instance": "demo", "chat": CHAT, "state": "typing"}
        assert await stream.next() == (
            "snapshot",
            {"now": 101.0, "instance": "demo", "instances": ["demo"], "calls": [call], "messages": []},
        )
        await client.post("/instances/demo/presence", json=TYPING)
        assert await stream.next() == ("call", call | {"n": 2, "at": 102.0})


async def test_the_stream_of_one_instance_carries_no_other(client: Client) -> None:
    async with client.get("/events?instance=demo") as response:
        stream = Stream(response)
        assert (await stream.next())[1]["instance"] == "demo"
        for instance in ("shop", "demo"):
            await client.post(f"/instances/{instance}/presence", json=TYPING)
        assert (await stream.next())[1]["instance"] == "demo"


async def test_a_silent_stream_is_kept_alive(client: Client) -> None:
    async with client.get("/events") as response:
        stream = Stream(response)
        assert await stream.block() == ["retry: 1000"]
        assert (await stream.block())[0] == "event: snapshot"
        assert await stream.block() == [": heartbeat"]


async def test_a_listener_that_falls_behind_is_cut_off(client: Client, sandbox: web.Application) -> None:
    async with client.get("/events") as response:
        stream = Stream(response)
        await stream.next()
        for _ in range(WAITING_CALLS + 1):
            sandbox[PHONE].tell("demo", CHAT, State.TYPING)
        with pytest.raises(BROKEN):
            await stream.rest()


async def test_a_stream_ends_in_good_order_when_the_server_does(client: Client) -> None:
    async with client.get("/events") as response:
        stream = Stream(response)
        await stream.next()
        closing = asyncio.ensure_future(client.server.close())
        with pytest.raises(EOFError):
            await stream.rest()
        await closing


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/?instance=shop", "text/html"),
        ("/phone.css", "text/css"),
        ("/shared.css", "text/css"),
        ("/phone.js", "text/javascript"),
    ],
)
async def test_the_page_is_served_under_a_strict_policy(client: Client, path: str, kind: str) -> None:
    async with client.get(path) as response:
        policy = response.headers["Content-Security-Policy"]
        assert (response.status, response.content_type, response.charset) == (200, kind, "utf-8")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src")
        assert "unsafe" not in policy
        assert await response.text()
