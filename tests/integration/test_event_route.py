"""`POST /api/events/presence/{instance}` in process: what of a webhook ends an indicator, and what it may cost."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis as SyncRedis
from world import Tenant, until

from gateway.api.app import create_app
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, Outcome, State, Target
from gateway.settings import Limits, Redis, Settings
from gateway.store import keys
from gateway.store.redis import command
from gateway.telemetry.metrics import ENDS
from gateway.upstreams.registry import ADAPTERS
from gateway.wiring import Services, open_services

pytestmark = pytest.mark.one_server(
    "how bodies are read; what a message ends is in test_indicators.py and test_ends.py"
)

Client = TestClient[web.Request, web.Application]
Answer = tuple[int, dict[str, Any]]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events"
RECEIVED = (200, {"success": True, "message": "Event received"})
INVALID = (400, {"success": False, "error": {"message": "Invalid request body"}})
CHAT, OTHER = "5511999999999@s.whatsapp.net", "5511777777777@s.whatsapp.net"
PLENTY = Limits(per_minute=1_000_000, events_per_minute=1_000_000)


def examples(kind: str) -> Iterator[tuple[str, list[str], Any]]:
    """Every example of a kind: its name, the chats it must name, and the event."""
    for path in sorted((FIXTURES / kind).glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        yield path.stem, told["sent_to"], told["event"]


def as_of(event: Any, when_s: float) -> bytes:
    """The same event of a message that was sent then."""
    iso = datetime.fromtimestamp(int(when_s), UTC).isoformat().replace("+00:00", "Z")
    text = json.dumps(event).replace("2026-01-01T00:00:00Z", iso)
    return text.replace("1767225600000", f"{int(when_s)}000").replace("1767225600", f"{int(when_s)}").encode()


@dataclass
class Upstream:
    """What any upstream is told, in the place of all of them."""

    told: list[tuple[str, State]] = field(default_factory=list)
    hangs: bool = False

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        self.told.append((chat.jid, state))
        if self.hangs:
            await asyncio.sleep(timeout_s)
            return Outcome.UNKNOWN
        return Outcome.OK

    def paused(self) -> set[str]:
        return {chat for chat, state in self.told if state is State.PAUSED}


@pytest.fixture
async def services(redis: Any, redis_url: str) -> AsyncIterator[Services]:
    async with open_services(Settings(redis=Redis(url=redis_url), limits=PLENTY)) as services:
        yield services


@pytest.fixture
def upstream(services: Services, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    upstream = Upstream()
    monkeypatch.setattr(services.upstreams, "send", upstream.send)
    return upstream


@pytest.fixture
async def client(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    return await aiohttp_client(create_app(services))


@asynccontextmanager
async def limited(
    services: Services, aiohttp_client: Callable[..., Awaitable[Client]], **limits: int
) -> AsyncIterator[Client]:
    """A front door with other limits."""
    changed = msgspec.structs.replace(services.settings, limits=Limits(**limits))
    async with open_services(changed) as other:
        app = create_app(dataclasses.replace(services, settings=changed, admission=other.admission))
        yield await aiohttp_client(app)


async def post(client: Client, body: bytes, token: str, instance: str = "demo") -> Answer:
    answer = await client.post(f"/api/events/presence/{instance}?token={token}", data=BytesIO(body))
    return answer.status, await answer.json()


async def show(client: Client, tenant: Tenant, chat: str, state: str = "typing", duration: int = 60) -> None:
    body = {"number": chat, "state": state, "duration": duration}
    headers = {"token": tenant.account_token}
    assert (await client.post("/api/chat/presence/demo", json=body, headers=headers)).status == 200


async def showing(client: Client, tenant: Tenant) -> set[str]:
    answer = await client.get("/api/chat/presence/demo", headers={"token": tenant.account_token})
    return {one["chat"] for one in (await answer.json())["indicators"]}


async def of_kind(services: Services, kind: str) -> Tenant:
    account = await services.directory.create_account("acme")
    created = await services.directory.create_instance(account.id, "demo", upstream=Target(kind, "http://up", "demo"))
    return Tenant(account.token, created.token, await services.directory.find_instance(account.id, "demo"))


OURS = json.dumps({"event": "message", "from_me": True, "chat": CHAT}).encode()


@pytest.mark.parametrize("kind", ADAPTERS)
async def test_an_event_ends_the_indicator_of_the_chat_that_it_names_and_of_no_other(
    kind: str, services: Services, client: Client, upstream: Upstream
) -> None:
    tenant = await of_kind(services, kind)
    for name, named, event in examples(kind):
        shown = {*named, CHAT, OTHER}
        for chat in shown:
            await show(client, tenant, chat)
        upstream.told.clear()
        assert await post(client, as_of(event, time.time()), tenant.instance_token) == RECEIVED
        assert upstream.paused() == set(named), name
        assert await showing(client, tenant) == shown - set(named), name


@pytest.mark.parametrize("kind", sorted(set(ADAPTERS) - {"sandbox"}))
async def test_a_message_of_before_the_newest_command_ends_nothing(
    kind: str, services: Services, client: Client, upstream: Upstream
) -> None:
    tenant = await of_kind(services, kind)
    for name, named, event in examples(kind):
        for chat in named:
            await show(client, tenant, chat)
        upstream.told.clear()
        assert await post(client, as_of(event, time.time() - 60), tenant.instance_token) == RECEIVED
        assert upstream.told == [], name


async def test_a_message_ends_what_began_before_it_however_late_it_is_reported(
    services: Services, client: Client, tenant: Tenant, upstream: Upstream
) -> None:
    await show(client, tenant, CHAT)
    await services.presence.drain()
    # As if it had begun ten minutes ago.
    record = keys.record(tenant.instance.chats_id, CHAT)
    ticket = int(await command(services.redis, "HGET", record, "ticket"))
    await command(services.redis, "HSET", record, "ticket", str(ticket - 600_000_000))
    event = {"event": "message", "from_me": True, "chat": CHAT, "timestamp": time.time() - 700}
    await post(client, json.dumps(event).encode(), tenant.account_token)
    assert upstream.paused() == set()
    await post(client, json.dumps(event | {"timestamp": time.time() - 500}).encode(), tenant.account_token)
    assert upstream.paused() == {CHAT}


async def test_where_nothing_shows_an_event_calls_nobody(client: Client, tenant: Tenant, upstream: Upstream) -> None:
    assert await post(client, OURS, tenant.account_token) == RECEIVED
    assert upstream.told == []


async def test_what_a_message_ended_is_counted(client: Client, tenant: Tenant, upstream: Upstream) -> None:
    before = ENDS.labels("message")._value.get()
    await show(client, tenant, CHAT)
    await post(client, OURS, tenant.account_token)
    await post(client, OURS, tenant.account_token)
    assert ENDS.labels("message")._value.get() == before + 1


async def test_tokens_are_checked_as_everywhere(services: Services, client: Client, tenant: Tenant) -> None:
    other = await services.directory.create_account("other")
    assert await post(client, OURS, tenant.account_token) == RECEIVED
    assert await post(client, OURS, tenant.instance_token) == RECEIVED
    assert (await post(client, OURS, other.token))[0] == 404
    assert (await post(client, OURS, tenant.instance_token, "another"))[0] == 403
    assert (await post(client, OURS, "pgi_" + "0" * 40))[0] == 401
    assert (await client.post("/api/events/presence/demo", data=OURS)).status == 401


async def test_events_have_a_limit_of_their_own_which_their_answers_show(
    services: Services, tenant: Tenant, upstream: Upstream, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with limited(services, aiohttp_client) as client:
        headers = {"token": tenant.instance_token}

        async def report() -> tuple[int, str, str]:
            answer = await client.post("/api/events/presence/demo", data=b"{}", headers=headers)
            return answer.status, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]

        rest = []
        for _ in range(48):
            rest += await asyncio.gather(*(report() for _ in range(25)))
        assert {(status, limit) for status, limit, _ in rest} == {(200, "1200")}
        assert sorted(int(remaining) for _, _, remaining in rest) == list(range(1200))
        assert await report() == (429, "1200", "0")
        answer = await client.get("/api/chat/presence/demo", headers=headers)
        assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (200, "99")


async def test_the_checks_come_in_the_promised_order(
    services: Services, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async with limited(services, aiohttp_client, events_per_minute=2) as client:
        assert (await post(client, b"[", "pgi_" + "0" * 40))[0] == 401
        assert (await post(client, b"[", tenant.instance_token, "another"))[0] == 403
        assert (await post(client, b"[", tenant.instance_token))[0] == 400
        assert (await post(client, b"[", tenant.instance_token, "another"))[0] == 429


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"{",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
        b"[" + b"{}," * 30_000 + b"1]",
        b'{"a": "' + b"," * 30_000 + b'"',
        b'{"a": "' + b"," * 30_000 + b'\xff"}',
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
async def test_what_is_no_json_object_is_a_400(client: Client, tenant: Tenant, body: bytes) -> None:
    assert await post(client, body, tenant.instance_token) == INVALID


async def test_an_event_may_be_as_long_as_is_set_and_no_longer(
    client: Client, tenant: Tenant, upstream: Upstream
) -> None:
    await show(client, tenant, CHAT)
    frame = json.dumps({"event": "message", "from_me": True, "chat": CHAT, "base64": ""}).encode()
    whole = frame.replace(b'"base64": ""', b'"base64": "' + b"A" * (1_048_576 - len(frame)) + b'"')
    longer = whole.replace(b"AA", b"AAA", 1)
    too_long = (413, {"success": False, "error": {"message": "Request body too large"}})
    assert await post(client, longer, tenant.instance_token) == too_long

    async def in_pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(longer), 65_536):
            yield longer[at : at + 65_536]

    answer = await client.post(f"/api/events/presence/demo?token={tenant.instance_token}", data=in_pieces())
    assert answer.status == 413
    assert upstream.paused() == set()
    assert await post(client, whole, tenant.instance_token) == RECEIVED
    assert upstream.paused() == {CHAT}


async def test_what_no_message_could_have_made_is_received_and_not_looked_at(
    client: Client, tenant: Tenant, upstream: Upstream
) -> None:
    await show(client, tenant, CHAT)
    many = {"event": "message", "from_me": True, "chat": CHAT, "many": [0] * 20_001}
    assert await post(client, json.dumps(many).encode(), tenant.instance_token) == RECEIVED
    assert upstream.paused() == set()


async def test_an_event_too_many_of_one_account_is_refused_at_once_and_commands_have_their_room(
    services: Services, tenant: Tenant, upstream: Upstream, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    http = msgspec.structs.replace(services.settings.http, max_in_flight_per_account=4)
    small = dataclasses.replace(services, settings=msgspec.structs.replace(services.settings, http=http))
    client = await aiohttp_client(create_app(small))
    await show(client, tenant, CHAT)
    upstream.hangs = True
    first = asyncio.create_task(post(client, OURS, tenant.account_token))
    await until(lambda: CHAT in upstream.paused(), within_s=5)
    refused = await client.post(f"/api/events/presence/demo?token={tenant.account_token}", data=OURS)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    upstream.hangs = False
    await show(client, tenant, OTHER)
    first.cancel()


async def test_while_redis_is_away_an_admitted_event_is_received_and_ends_its_indicator_later(
    services: Services, client: Client, tenant: Tenant, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await show(client, tenant, CHAT)

    async def refuse(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as away:
        away.setattr(services.indicators, "promise", refuse)
        assert await post(client, OURS, tenant.account_token) == RECEIVED
        assert upstream.paused() == set()
    await services.presence.drain()
    assert upstream.paused() == {CHAT}


async def test_an_instance_without_an_upstream_receives_events_too(services: Services, client: Client) -> None:
    account = await services.directory.create_account("acme")
    created = await services.directory.create_instance(account.id, "demo")
    assert await post(client, OURS, created.token) == RECEIVED


async def test_nothing_of_an_event_is_logged(client: Client, tenant: Tenant, upstream: Upstream) -> None:
    await show(client, tenant, CHAT)
    secret = "an-upstreams-secret"
    event = {"event": "message", "from_me": True, "chat": CHAT, "apikey": secret}
    path = f"/api/events/presence/demo?token={tenant.instance_token}"
    with structlog.testing.capture_logs() as lines:
        for body in (json.dumps(event), f'{{"apikey": "{secret}"'):
            await client.post(path, data=body, headers={"apikey": secret})
    said = json.dumps(lines, default=str)
    assert '"chats": 1' in said
    assert not [word for word in (secret, tenant.instance_token, "5511999999999") if word in said]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([CHAT, "message", "status@broadcast", "2026-01-01T00:00:00Z", 10**400, -1])
)
WORDS = st.text(max_size=8) | st.sampled_from(["event", "from_me", "chat", "timestamp", "data", "message", "payload"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=12
)
DEPTH = st.integers(0, 1_200)


@dataclass
class Sender:
    """Posts one body after another, from outside the event loop."""

    runner: asyncio.Runner
    client: Client
    tokens: dict[str, str]

    def post(self, kind: str, body: bytes) -> Answer:
        return self.runner.run(post(self.client, body, self.tokens[kind], kind))


@pytest.fixture
def sender(redis_url: str, everywhere_sync: SyncRedis) -> Iterator[Sender]:
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()

        async def open_door() -> Sender:
            services = await opened.enter_async_context(
                open_services(Settings(redis=Redis(url=redis_url), limits=PLENTY))
            )
            account = await services.directory.create_account("acme")
            tokens = {}
            for kind in ADAPTERS:
                target = Target(kind, "http://127.0.0.1:1", "demo")
                tokens[kind] = (await services.directory.create_instance(account.id, kind, upstream=target)).token
            client = TestClient(TestServer(create_app(services)))
            return Sender(runner, await opened.enter_async_context(client), tokens)

        yield runner.run(open_door())
        runner.run(opened.aclose())


def test_any_json_at_any_depth_is_received_or_the_documented_400(sender: Sender) -> None:
    @settings(max_examples=150)
    @given(kind=st.sampled_from(sorted(ADAPTERS)), value=VALUES, depth=DEPTH)
    def is_answered(kind: str, value: Any, depth: int) -> None:
        nested = '{"data":' * depth + json.dumps(value) + "}" * depth
        assert sender.post(kind, nested.encode()) in (RECEIVED, INVALID)

    is_answered()


def test_any_bytes_are_received_or_the_documented_400(sender: Sender) -> None:
    @settings(max_examples=100)
    @given(kind=st.sampled_from(sorted(ADAPTERS)), body=st.binary(max_size=64))
    def is_answered(kind: str, body: bytes) -> None:
        assert sender.post(kind, body) in (RECEIVED, INVALID)

    is_answered()
