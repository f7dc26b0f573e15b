"""What chats were told, and what a person does about one, on the operator's port: for whose they are alone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis as AsyncRedis
from world import Phone

from gateway.api.admin.app import create_admin
from gateway.presence.errors import GatewayError
from gateway.presence.model import Chat, Instance, State, Target
from gateway.settings import Redis, Secrets, Settings
from gateway.store import keys
from gateway.store.redis import command
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]

KEY = "an-operators-own-key"
CHAT = Chat("5511999999999@s.whatsapp.net")
OTHER_CHAT = Chat("4915112345678@s.whatsapp.net")
MASKED = "+55 ••• 9999"


@dataclass
class Desk:
    """Two accounts, each with an instance on the phone, and their tokens."""

    services: Services
    admin: Client
    phone: Phone
    instances: dict[str, Instance]
    tokens: dict[str, str]

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY) -> tuple[int, Any]:
        answer = await self.admin.request(method, f"/admin/{path}", json=body, headers={"token": key})
        return answer.status, await answer.json()

    async def done(self, method: str, path: str, body: Any = None, *, key: str = KEY) -> Any:
        status, told = await self.ask(method, path, body, key=key)
        assert status == 200, told
        return told

    async def chats(self, query: str = "", *, key: str = KEY) -> list[Any]:
        found = (await self.done("GET", f"history{query}", key=key))["chats"]
        assert isinstance(found, list)
        return found

    async def show(self, account: str, state: State, seconds: int = 0, chat: Chat = CHAT) -> None:
        try:
            await self.services.presence.show(self.instances[account], chat, state, seconds)
        finally:
            await self.services.presence.drain()

    async def id_of(self, chat: Chat = CHAT) -> str:
        return str((await self.done("POST", "chats/find", {"number": chat.user}))["chat"])

    def path(self, account: str, *rest: str) -> str:
        return "/".join(["instances", self.instances[account].id, *rest])

    async def say_troubles(self) -> None:
        """Say what every process says each few seconds."""
        await self.services.troubles.say("here", self.services.upstreams.troubles.now(), lasts_s=60)


@pytest.fixture
async def desk(
    redis: AsyncRedis, redis_url: str, phone: Phone, aiohttp_client: Callable[..., Awaitable[Client]]
) -> AsyncIterator[Desk]:
    settings = Settings(redis=Redis(url=redis_url), secrets=Secrets(pepper="p", admin_key=KEY))
    async with open_services(settings) as services:
        instances, tokens = {}, {}
        for name in ("acme", "other"):
            account = await services.directory.create_account(name)
            upstream = Target("sandbox", phone.url, name)
            made = await services.directory.create_instance(account.id, "sales", upstream=upstream)
            instances[name], tokens[name] = await services.directory.instance_by_id(made.id), account.token
        app = web.Application()
        app.add_subapp("/admin/", create_admin(services))
        yield Desk(services, await aiohttp_client(app), phone, instances, tokens)


async def test_the_history_joins_what_was_asked_what_was_sent_and_how_it_ended(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    await desk.show("acme", State.RECORDING, 20)
    (chat,) = await desk.chats()
    account = desk.instances["acme"].account_id
    assert (chat["instance"], chat["account"], chat["number"]) == ("sales", account, MASKED)
    assert chat["showing"]["ends"] == pytest.approx(chat["showing"]["since"] + 20, abs=0.1)
    assert (chat["showing"]["state"], chat["showing"]["overdue_s"], chat["showing"]["why"]) == ("recording", 0, "")
    (replaced,) = chat["told"]
    assert (replaced["state"], replaced["by"], replaced["sure"], replaced["tries"]) == ("typing", "replaced", True, 0)
    assert replaced["asked"] == pytest.approx(replaced["since"] + 30, abs=0.1)
    assert replaced["sent"] == pytest.approx(replaced["since"], abs=0.1)
    assert replaced["ended"] >= replaced["since"]
    await desk.show("acme", State.PAUSED)
    (chat,) = await desk.chats()
    assert chat["showing"] is None
    assert [one["by"] for one in chat["told"]] == ["pause", "replaced"]


async def test_what_came_to_nothing_is_in_the_history_with_its_reason(desk: Desk) -> None:
    desk.phone.status = 401
    with pytest.raises(GatewayError):
        await desk.show("acme", State.TYPING, 30)
    ((told,),) = [chat["told"] for chat in await desk.chats()]
    assert (told["state"], told["by"], told["reason"]) == ("typing", "failed", "the upstream refuses the credential")


async def test_one_chat_is_found_by_its_number_which_is_in_no_address(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    await desk.show("acme", State.TYPING, 30, OTHER_CHAT)
    assert len(await desk.chats()) == 2
    for number in ("+55 (11) 99999-9999", CHAT.jid):
        found = (await desk.done("POST", "chats/find", {"number": number}))["chat"]
        assert [chat["number"] for chat in await desk.chats(f"?chat={found}")] == [MASKED]
    assert await desk.chats("?chat=0000000000000000") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Invalid request body"),
        ({}, "Number is required"),
        ({"number": 5}, "Invalid request body"),
        ({"number": "nobody"}, "Invalid number"),
    ],
)
async def test_what_is_no_number_is_refused_in_words(desk: Desk, body: Any, message: str) -> None:
    assert await desk.ask("POST", "chats/find", body) == (400, {"success": False, "error": {"message": message}})


async def test_no_list_tells_a_number_and_asking_for_one_is_on_record(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    await desk.show("acme", State.PAUSED)
    for path in ("history", "indicators", "troubles", "audit"):
        assert CHAT.user not in str(await desk.done("GET", path))
    chat = await desk.id_of()
    for key in (KEY, desk.tokens["acme"]):
        told = await desk.done("POST", desk.path("acme", "chats", chat, "number"), key=key)
        assert told["number"] == CHAT.jid
    own, operators = (await desk.done("GET", "audit"))["entries"][:2]
    account = desk.instances["acme"].account_id
    assert [(one["actor"], one["action"]) for one in (own, operators)] == [
        (account, "chat.number"),
        ("operator", "chat.number"),
    ]
    assert (own["subject"], own["detail"]) == (desk.instances["acme"].id, f"chat {chat} of sales")
    assert CHAT.user not in str(await desk.done("GET", "audit"))


async def test_a_pause_is_sent_at_once_and_is_on_record(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    told = await desk.done("POST", desk.path("acme", "chats", await desk.id_of(), "pause"))
    assert told["state"] == "paused"
    assert desk.phone.states() == [State.TYPING, State.PAUSED]
    (chat,) = await desk.chats()
    assert (chat["showing"], [one["by"] for one in chat["told"]]) == (None, ["pause"])
    assert (await desk.services.health.backlog()).owed == 0
    assert (await desk.done("GET", "audit"))["entries"][0]["action"] == "chat.pause"


async def test_a_pause_that_the_upstream_refuses_says_so_and_is_on_record_all_the_same(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    desk.phone.status = 401
    status, told = await desk.ask("POST", desk.path("acme", "chats", await desk.id_of(), "pause"))
    assert (status, told["error"]["message"]) == (502, "Upstream rejected the request")
    assert (await desk.done("GET", "audit"))["entries"][0]["action"] == "chat.pause"
    (chat,) = await desk.chats()
    assert chat["showing"]["state"] == "typing"


async def test_the_doctor_says_why_a_presence_did_not_show(desk: Desk) -> None:
    well = await desk.done("POST", desk.path("acme", "doctor"))
    assert well["answer"].startswith("Nothing is wrong as far as the upstream")
    assert {finding["verdict"] for finding in well["findings"]} == {"ok"}
    desk.phone.status = 401
    with pytest.raises(GatewayError):
        await desk.show("acme", State.TYPING, 30)
    told = await desk.done("POST", desk.path("acme", "doctor"), {"chat": await desk.id_of()})
    assert told["answer"] == (
        "The last one came to nothing: the upstream refuses the credential. That is mended: the way is free now."
    )


async def test_what_fails_is_told_with_for_whom_and_a_tenant_reads_no_address_of_the_operators(desk: Desk) -> None:
    desk.phone.status = 401
    with pytest.raises(GatewayError):
        await desk.show("acme", State.TYPING, 30)
    await desk.say_troubles()
    acme = desk.instances["acme"]
    told = await desk.done("GET", "troubles")
    (failing,) = told["upstreams"]
    assert (failing["account"], failing["instance"], failing["failed"]) == (acme.account_id, "sales", 1)
    assert (failing["reason"], failing["ok"], failing["open"]) == ("the upstream refuses the credential", None, False)
    assert failing["upstream"]["url"] == desk.phone.url
    assert told["problems"][0] == "no worker runs: nothing sends the pauses that are owed"
    own = await desk.done("GET", "troubles", key=desk.tokens["acme"])
    assert (own["upstreams"][0]["upstream"]["url"], own["problems"]) == (None, [])
    assert (await desk.done("GET", "troubles", key=desk.tokens["other"]))["upstreams"] == []
    other = desk.instances["other"].account_id
    assert (await desk.done("GET", f"troubles?account={other}"))["upstreams"] == []


async def test_a_pause_that_is_tried_again_is_late_to_its_account_too(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    record = keys.record(desk.instances["acme"].id, CHAT.jid)
    until_ms = int(await command(desk.services.executor, "HGET", record, "until")) - 40_000
    await command(desk.services.executor, "HSET", record, "until", until_ms)
    for key, is_late in ((desk.tokens["acme"], True), (desk.tokens["other"], False)):
        told = await desk.done("GET", "troubles", key=key)
        assert (told["owed"], told["oldest_overdue_s"] > 5) == (int(is_late), is_late)


async def test_what_is_late_says_why(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 1)
    await desk.show("acme", State.TYPING, 30, OTHER_CHAT)
    record = keys.record(desk.instances["acme"].id, CHAT.jid)
    until_ms = int(await command(desk.services.executor, "HGET", record, "until")) - 20_000
    await command(desk.services.executor, "HSET", record, "until", until_ms)
    await command(desk.services.executor, "ZADD", keys.chats(desk.instances["acme"].id), until_ms, CHAT.jid)
    late, on_time = await desk.chats()
    assert (late["showing"]["why"], on_time["showing"]["why"]) == ("no worker runs", "")
    assert 15 < late["showing"]["overdue_s"] < 25
    desk.phone.status = 503
    with pytest.raises(GatewayError):
        await desk.show("acme", State.RECORDING, 30, OTHER_CHAT)
    await desk.say_troubles()
    assert (await desk.chats())[0]["showing"]["why"] == "the upstream answered with an error"


async def test_another_tenant_sees_nothing_and_does_nothing(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    chat, key = await desk.id_of(), desk.tokens["other"]
    assert await desk.chats(key=key) == []
    assert await desk.chats(f"?chat={chat}", key=key) == []
    for rest in (("chats", chat, "number"), ("chats", chat, "pause"), ("doctor",)):
        foreign = await desk.ask("POST", desk.path("acme", *rest), {}, key=key)
        nowhere = await desk.ask("POST", "/".join(["instances", "i000000000000", *rest]), {}, key=key)
        assert foreign == nowhere == (404, {"success": False, "error": {"message": "Instance not found"}})
    for path in ("history", "troubles"):
        account = desk.instances["acme"].account_id
        assert (await desk.ask("GET", f"{path}?account={account}", key=key))[0] == 404
    assert desk.phone.states() == [State.TYPING]
    entries = (await desk.done("GET", "audit"))["entries"]
    assert not [one for one in entries if one["action"].startswith("chat.")]


async def test_a_chat_of_another_instance_is_none_of_this_one(desk: Desk) -> None:
    await desk.show("acme", State.TYPING, 30)
    chat = await desk.id_of()
    for what in ("number", "pause"):
        told = await desk.ask("POST", desk.path("other", "chats", chat, what))
        assert told == (404, {"success": False, "error": {"message": "Chat not found"}})
    assert (await desk.ask("POST", desk.path("other", "doctor"), {"chat": chat}))[0] == 404


async def test_a_tenants_looks_cost_nothing_of_its_callers_hundred(desk: Desk) -> None:
    for path in ("history", "troubles"):
        answer = await desk.admin.get(f"/admin/{path}", headers={"token": desk.tokens["acme"]})
        assert answer.headers["X-RateLimit-Limit"] == "600"
