"""The sandbox's messages: the part of RyzeAPI that it speaks, and the webhook by which it reports them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient
from world import until

from gateway.api.app import create_app
from gateway.presence.model import Chat, Outcome, State, Target
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.keys import PHONE, WEBHOOKS
from gateway.sandbox.phone import Phone
from gateway.sandbox.webhooks import Webhook
from gateway.upstreams.base import Connection
from gateway.wiring import Services

pytestmark = pytest.mark.one_server("a page and an upstream of our own")

Client = TestClient[web.Request, web.Application]

CHAT = "5511999999999@s.whatsapp.net"
TEXT = {"number": "+55 11 99999-9999", "message": "hello"}


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(create_sandbox())


def phone_of(client: Client) -> Phone:
    assert client.app
    return client.app[PHONE]


def states_of(client: Client) -> list[State]:
    return [call.state for call in phone_of(client).since(0)]


async def post(client: Client, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    async with client.post(path, json=body) as response:
        return response.status, await response.json()


@asynccontextmanager
async def webhook(client: Client, status: int = 200) -> AsyncIterator[list[dict[str, Any]]]:
    """Whatever the sandbox reports of `demo`."""
    reported: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        reported.append(await request.json())
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as server:
        order = {"instance": "demo", "url": f"{server.make_url('/hook')}?token=a-secret"}
        assert await post(client, "/webhook", order) == (200, {"ok": True})
        yield reported


@pytest.mark.parametrize("field", ["message", "text"])
async def test_a_message_arrives_on_the_phone(client: Client, field: str) -> None:
    status, answer = await post(client, "/api/message/text/demo", {"number": TEXT["number"], field: "hello"})
    (message,) = phone_of(client).snapshot("demo").messages
    assert (message.chat, message.text) == (CHAT, "hello")
    assert (status, answer["success"], answer["data"]["chat_jid"]) == (200, True, CHAT)
    assert answer["data"]["id"] == message.id


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/message/text/demo", {"number": "5511999999999"}, "Message is required"),
        ("/api/message/text/demo", {"number": "soon", "message": "hello"}, "Invalid number"),
        ("/api/chat/presence/demo", {"number": "soon", "state": "typing"}, "Invalid number"),
        (
            "/api/chat/presence/demo",
            {"number": "5511999999999", "state": "sleeping"},
            "Invalid state. Use 'typing', 'recording', or 'pause'",
        ),
    ],
)
async def test_what_it_cannot_do_it_refuses_in_ryzeapis_envelope(
    client: Client, path: str, body: dict[str, str], message: str
) -> None:
    assert await post(client, path, body) == (400, {"success": False, "error": {"message": message}})


@pytest.mark.parametrize(
    "body", [None, [], {}, {"number": 5, "message": "hello"}, {"number": "1", "message": "x" * 2001}]
)
async def test_a_bad_message_is_refused_with_a_reason(client: Client, body: Any) -> None:
    status, answer = await post(client, "/api/message/text/demo", body)
    assert (status, type(answer["error"])) == (400, str)
    assert phone_of(client).snapshot("demo").messages == []


async def test_a_message_is_reported_to_its_instances_webhook_and_to_no_other(client: Client) -> None:
    async with webhook(client) as reported:
        await post(client, "/api/message/text/shop", TEXT)
        await post(client, "/api/message/text/demo", TEXT)
        await until(lambda: bool(reported), within_s=5)
        (message,) = phone_of(client).snapshot("demo").messages
        assert reported == [
            {
                "event": "message",
                "from_me": True,
                "id": message.id,
                "chat": CHAT,
                "text": "hello",
                "timestamp": message.at,
            }
        ]
        assert (await post(client, "/webhook", {"instance": "demo", "url": ""}))[0] == 200
        await post(client, "/api/message/text/demo", TEXT)
    assert len(reported) == 1


@pytest.mark.parametrize("url", ["ftp://x", "gateway", "http://" + "x" * 2000, None])
async def test_a_bad_webhook_is_refused(client: Client, url: Any) -> None:
    assert (await post(client, "/webhook", {"instance": "demo", "url": url}))[0] == 400


async def test_a_report_that_fails_is_logged_without_its_address(client: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        async with webhook(client, status=401):
            await post(client, "/api/message/text/demo", TEXT)
            await until(lambda: bool(lines), within_s=5)
        await post(client, "/api/message/text/demo", TEXT)
        await until(lambda: len(lines) > 1, within_s=5)
    assert [line.get("status") or line["error"] for line in lines] == [401, "ClientConnectorError"]
    assert "a-secret" not in str(lines)


async def test_the_stream_says_when_a_message_arrives(client: Client) -> None:
    async with client.get("/events") as response:
        await post(client, "/api/message/text/demo", TEXT)
        while await response.content.readline() != b"event: message\n":
            pass
        assert b'"text":"hello"' in await response.content.readline()


async def test_the_gateways_own_adapter_for_ryzeapi_works_with_it(client: Client, services: Services) -> None:
    target = Target("ryzeapi", str(client.make_url("/")).rstrip("/"), "demo", "a-credential")
    told = [await services.upstreams.send(target, Chat(CHAT), state, timeout_s=5) for state in State]
    assert told == [Outcome.OK] * 3
    assert states_of(client) == list(State)
    assert await services.upstreams.connection(target) is Connection.CONNECTED


async def test_an_indicator_ends_with_the_message_that_is_sent_on_the_sandbox(
    client: Client, services: Services, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    account = await services.directory.create_account("acme")
    target = Target("sandbox", str(client.make_url("/")).rstrip("/"), "demo")
    created = await services.directory.create_instance(account.id, "sales", upstream=target)
    door = await aiohttp_client(create_app(services))
    assert client.app
    url = f"{door.make_url('/api/events/presence/sales')}?token={created.token}"
    client.app[WEBHOOKS].order(Webhook("demo", url))
    body = {"number": "5511999999999", "state": "typing", "duration": 600, "hold": True}
    assert (await door.post("/api/chat/presence/sales", json=body, headers={"token": created.token})).status == 200
    await post(client, "/api/message/text/demo", TEXT)
    await until(lambda: states_of(client) == [State.TYPING, State.PAUSED], within_s=5)
