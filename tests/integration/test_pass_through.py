"""Every other route of RyzeAPI works under our URL: what goes on, what comes back, and what ends an indicator."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from cryptography.fernet import Fernet
from fakes.ryzeapi import FakeRyzeapi
from passing import CHAT, JID, TEXT, UPGRADE, Door, opened, passed
from redis.asyncio import Redis as AsyncRedis
from ryzeapi_client import RyzeapiClient, Said
from world import until

from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Chat, Instance, State, Target
from gateway.settings import Secrets

pytestmark = pytest.mark.one_server("HTTP from here to an upstream; its tokens are admitted by the same script as any")


async def all_that_is_documented(client: RyzeapiClient, fake: FakeRyzeapi) -> list[Said]:
    """Use the API as its documentation says; all bodies, in order."""
    said = [
        await client.get_websocket(),
        await client.presence(CHAT, "typing", 5),
        await client.text(CHAT, "Olá"),
        await client.media(CHAT, 400_000),
        await client.status("May is here"),
        await client.profile(CHAT),
        await client.settings(autoReadMessages=True),
        await client.configure_websocket(),
        await client.get_websocket(),
    ]
    async with await client.listen() as events:
        await until(lambda: bool(fake.rest.listeners), within_s=5)
        await fake.rest.publish("shop", fake.CREDENTIAL, "message.exchange", {"id": "3EB0", "text": "ação"})
        said.append(Said(101, "", (await events.receive_str(timeout=5)).encode()))
    return said


async def test_a_documented_client_reads_the_same_bytes_through_us(door: Door) -> None:
    through = await all_that_is_documented(door.client(), door.fake)
    async with FakeRyzeapi() as other:
        direct = await all_that_is_documented(RyzeapiClient(other.url, "shop", other.CREDENTIAL, door.http), other)
    stars = b"*" * len(FakeRyzeapi.CREDENTIAL)
    assert through == [one._replace(body=one.body.replace(FakeRyzeapi.CREDENTIAL.encode(), stars)) for one in direct]
    assert [one.status for one in through] == [404, *[200] * 8, 101]
    assert stars in through[-1].body
    assert await door.client().stored_media("3EB0") == await door.client_of_fake().stored_media("3EB0")


async def test_list_tells_the_same_of_the_instance_through_us(door: Door) -> None:
    through, direct = [json.loads((await one.list()).body) for one in (door.client(), door.client_of_fake())]
    assert through["instances"][0].pop("id") != direct["instances"][0].pop("id")
    assert through == direct


@pytest.mark.parametrize("how", ["header", "bearer", "query"])
async def test_the_callers_token_is_exchanged_wherever_it_stood(door: Door, how: str) -> None:
    token = door.tenant.account_token
    headers = {"header": {"token": token}, "bearer": {"token": "", "Authorization": f"Bearer {token}"}}.get(how, {})
    query = f"&%74oken={token}" if how == "query" else ""
    path = f"/api/profile/getAccount/shop?number=%2B{CHAT}&a=b%20c{query}&"
    response, _ = await door.call("GET", path, token="", headers={"X-Own": "yes", **headers})
    assert response.status == 200
    asked = door.fake.requests[-1]
    assert asked.path == f"/api/profile/getAccount/shop?number=%2B{CHAT}&a=b%20c&"
    assert asked.headers["token"] == door.fake.CREDENTIAL
    assert asked.headers["X-Own"] == "yes"
    assert "Authorization" not in asked.headers
    assert token not in str(asked)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_any_method_passes_with_what_the_upstream_makes_of_it(door: Door, method: str) -> None:
    response, body = await door.call(method, "/api/made/up/shop", data=b"x" if method == "POST" else None)
    asked = door.fake.requests[-1]
    assert (asked.method, asked.path, asked.body) == (method, "/api/made/up/shop", b"x" if method == "POST" else b"")
    assert response.status == 404
    assert body == (b"" if method == "HEAD" else b"404: Not Found")


async def test_a_session_of_another_name_is_the_one_that_is_asked_for(
    redis: AsyncRedis, redis_url: str, ryzeapi: FakeRyzeapi
) -> None:
    ryzeapi.sessions, ryzeapi.credentials = {"acme.shop": "connected"}, {"an-accounts-token": "*"}
    async with opened(redis_url, ryzeapi, ryzeapi.target(session="acme.shop", credential="an-accounts-token")) as door:
        response, body = await door.call("POST", TEXT, json={"number": CHAT, "message": "Hi"})
        assert (response.status, json.loads(body)["chat"]) == (200, {"jid": JID})
    assert ryzeapi.requests[-1].path == "/api/message/text/acme.shop"


async def test_our_limit_is_on_every_answer_and_the_upstreams_own_on_none(door: Door) -> None:
    response, _ = await door.call("GET", "/api/instance/getSettings/shop")
    assert response.headers.getall("X-RateLimit-Limit") == ["10000"]
    assert response.headers.getall("X-RateLimit-Remaining") == ["9999"]
    assert response.headers["X-Request-Id"]


async def test_the_upstreams_own_429_passes_with_its_reset(door: Door) -> None:
    door.fake.failing = "limit"
    response, body = await door.call("GET", "/api/instance/getSettings/shop")
    assert (response.status, json.loads(body)["error"]["message"]) == (429, "Rate limit exceeded. Try again later.")
    told = {name: response.headers.getall(name) for name in ("X-RateLimit-Remaining", "X-RateLimit-Reset")}
    assert told == {"X-RateLimit-Remaining": ["0"], "X-RateLimit-Reset": ["1795305600"]}
    assert response.headers["Retry-After"] == "17"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, (502, "Upstream rejected the request")),
        (403, (502, "Upstream rejected the request")),
        (301, (502, "Upstream rejected the request")),
        (308, (502, "Upstream rejected the request")),
    ],
)
async def test_what_the_upstream_says_to_us_is_not_said_to_the_caller(
    door: Door, status: int, expected: tuple[int, str]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no", headers={"Location": f"{door.fake.url}/elsewhere"})

    door.fake.misbehaviour = answer
    assert await door.refusal("GET", "/api/profile/getAccount/shop") == expected
    assert await door.refusal("GET", "/ws/shop", headers=UPGRADE) == expected
    assert len(door.fake.requests) == 2


async def test_nobody_reached_is_a_503_and_silence_a_504(door: Door) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    door.fake.misbehaviour = hang
    assert await door.refusal("GET", "/api/profile/getAccount/shop") == (504, "Upstream did not answer in time")
    assert await door.refusal("GET", "/ws/shop", headers=UPGRADE) == (504, "Upstream did not answer in time")
    await door.services.moves.move_instance(
        door.tenant.instance.id, Target("ryzeapi", "http://127.0.0.1:1", "shop", "c")
    )
    assert await door.refusal("GET", "/api/profile/getAccount/shop") == (503, "Service temporarily unavailable")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nothing_is_sent_twice_however_the_connection_breaks(door: Door, method: str) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    await door.call("GET", "/api/instance/getSettings/shop")  # leaves a connection that is kept
    door.fake.misbehaviour = hang_up
    before = len(door.fake.requests)
    assert await door.refusal(method, "/api/profile/account/shop") == (504, "Upstream did not answer in time")
    assert len(door.fake.requests) == before + 1


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(door: Door) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    door.fake.misbehaviour = break_off
    with pytest.raises(aiohttp.ClientPayloadError):
        await door.call("GET", "/api/profile/getAccount/shop")


async def test_an_answer_that_is_compressed_against_our_asking_is_refused(door: Door) -> None:
    async def compress(_: web.Request) -> web.Response:
        return web.Response(text="right-credential", headers={"Content-Encoding": "gzip"})

    door.fake.misbehaviour = compress
    assert await door.refusal("GET", "/api/profile/getAccount/shop") == (502, "Upstream rejected the request")
    assert door.fake.requests[-1].headers["Accept-Encoding"] == "identity"


async def test_the_credential_is_starred_out_of_bodies_headers_and_refusals(door: Door) -> None:
    secret = door.fake.CREDENTIAL

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"X-Told": f"it is {secret}"}, status=400 if "ws" in request.path else 200
        )
        await response.prepare(request)
        for piece in ("a right-", "cred", "ential.", secret):
            await response.write(piece.encode())
            await asyncio.sleep(0.01)
        return response

    door.fake.misbehaviour = tell
    for path, headers in (("/api/profile/getAccount/shop", {}), ("/ws/shop", UPGRADE)):
        response, body = await door.call("GET", path, headers=headers)
        assert body == b"a ****************.****************"
        assert response.headers["X-Told"] == "it is ****************"


async def test_a_message_that_was_sent_ends_the_chats_indicator_before_its_answer(door: Door) -> None:
    went_on = asyncio.Event()

    async def end(_instance: Instance, _chat: Chat) -> None:
        await went_on.wait()

    door.end = end
    asking = asyncio.create_task(door.client().text("+55 11 99999-9999", "Hi"))
    await until(lambda: bool(door.fake.rest.sent), within_s=5)
    assert not asking.done()
    went_on.set()
    assert (await asking).status == 200
    assert door.ended == [JID]


async def test_the_phone_is_told_paused_before_the_caller_reads_that_the_message_was_sent(
    redis_url: str, door: Door
) -> None:
    async with opened(redis_url, door.fake, door.fake.target(), tenant=door.tenant, ends=True) as real:
        await real.client().presence(CHAT, "typing", 60)
        assert (await real.client().text(CHAT, "Hi")).status == 200
        assert door.fake.seen() == [("shop", JID, State.TYPING), ("shop", JID, State.PAUSED)]
        await real.client().presence(CHAT, "typing", 60)
        assert door.fake.seen()[2:] == [("shop", JID, State.TYPING)]


async def test_what_was_no_message_or_failed_ends_nothing(door: Door) -> None:
    await door.client().status("a story names nobody")
    await door.client().profile(CHAT)
    await door.call("POST", "/api/profile/account/shop", json={"number": CHAT})
    door.fake.sessions["shop"] = "disconnected"
    assert (await door.client().text(CHAT, "Hi")).status == 503
    assert door.ended == []


@pytest.mark.parametrize("failure", [None, StoreUnavailable(), RuntimeError()])
async def test_an_answer_waits_a_second_at_most_for_the_indicator_to_end(door: Door, failure: Exception | None) -> None:
    async def end(_instance: Instance, _chat: Chat) -> None:
        if failure is not None:
            raise failure
        await asyncio.sleep(60)

    door.end = end
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await door.client().text(CHAT, "Hi")).status == 200
    assert loop.time() - began < 2.5


async def test_the_indicator_ends_where_nobody_waits_for_the_answer(door: Door) -> None:
    sent = asyncio.Event()

    async def end(_instance: Instance, _chat: Chat) -> None:
        sent.set()
        await asyncio.sleep(0.5)

    door.end = end
    asking = asyncio.create_task(door.client().text(CHAT, "Hi"))
    await sent.wait()
    asking.cancel()
    await until(lambda: door.ended == [JID], within_s=5)


async def test_a_caller_who_leaves_ends_the_upstreams_call(door: Door) -> None:
    left, before = asyncio.Event(), passed(499)

    async def wait(request: web.Request) -> web.Response:
        await until(lambda: request.transport is None or request.transport.is_closing(), within_s=5)
        left.set()
        return web.Response()

    door.fake.misbehaviour = wait
    asking = asyncio.create_task(door.call("GET", "/api/profile/getAccount/shop"))
    await until(lambda: bool(door.fake.requests), within_s=5)
    asking.cancel()
    await asyncio.wait_for(left.wait(), 0.7)
    await until(lambda: passed(499) == before + 1, within_s=5)


async def test_another_kind_of_upstream_has_no_such_routes(door: Door, redis_url: str) -> None:
    await door.services.moves.move_instance(door.tenant.instance.id, Target("waha", door.fake.url, "shop"))
    unsupported = (501, "This route is not supported by this instance's upstream")
    assert await door.refusal("POST", TEXT, json={"number": CHAT}) == unsupported
    assert await door.refusal("GET", "/ws/shop", headers=UPGRADE) == unsupported
    assert await door.refusal("GET", "/ws/shop") == unsupported
    assert door.fake.requests == []


async def test_a_tenants_upstream_is_reached_only_where_the_operator_allows_it(
    redis: AsyncRedis, redis_url: str, ryzeapi: FakeRyzeapi
) -> None:
    target = ryzeapi.target()
    own = Target(target.kind, target.url, target.session, target.credential, trusted=False)
    async with opened(redis_url, ryzeapi, own) as door:
        assert await door.refusal("POST", TEXT, json={}) == (400, "Upstream URL is not allowed")
        assert await door.refusal("GET", "/ws/shop", headers=UPGRADE) == (400, "Upstream URL is not allowed")
    assert ryzeapi.requests == []


async def test_a_credential_that_no_key_opens_is_not_replaced_by_none(
    redis_url: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passing._KEYS", Secrets(encryption_keys=Fernet.generate_key().decode()))
    async with opened(redis_url, door.fake, door.fake.target(), tenant=door.tenant) as sealed:
        assert await sealed.refusal("POST", TEXT, json={}) == (502, "Upstream rejected the request")
        assert await sealed.refusal("GET", "/ws/shop", headers=UPGRADE) == (502, "Upstream rejected the request")
    assert door.fake.requests == []


async def test_who_may_not_reaches_nothing(door: Door) -> None:
    other = await door.services.directory.create_account("other")
    await door.services.directory.create_instance(other.id, "theirs", upstream=door.fake.target(session="theirs"))
    for path, headers in ((TEXT, {}), ("/ws/shop", UPGRADE)):
        assert (await door.refusal("GET", path, token="", headers=headers))[0] == 401
        assert (await door.refusal("GET", path, token=other.token, headers=headers)) == (404, "Instance not found")
    assert (await door.refusal("GET", "/api/a/theirs")) == (
        403,
        "Instance token does not match the requested instance",
    )
    assert (await door.refusal("GET", "/api/a/theirs", token=door.tenant.account_token)) == (404, "Instance not found")
    assert door.fake.requests == []


async def test_cookies_of_one_caller_are_not_anothers(door: Door) -> None:
    async def give(_: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": "session=mine"})

    door.fake.misbehaviour = give
    for _ in range(2):
        response, _ = await door.call("GET", "/api/profile/getAccount/shop")
        assert response.headers["Set-Cookie"] == "session=mine"
    async with aiohttp.ClientSession() as another:
        await another.get(f"{door.url}/api/profile/getAccount/shop", headers={"token": door.tenant.instance_token})
    assert "Cookie" not in door.fake.requests[-1].headers
