"""Every fault of the sandbox over real sockets: what the client sees, and what the phone was told."""

import asyncio
from typing import Any, TypeAlias

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from gateway.presence.model import State
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.faults import Fault, Kind
from gateway.sandbox.keys import FAULTS, PHONE
from gateway.sandbox.phone import Phone, Told

Client: TypeAlias = TestClient[web.Request, web.Application]

CHAT = "5511999999999@s.whatsapp.net"
SEEN_S = aiohttp.ClientTimeout(total=0.1)
LONG_S = 60.0


@pytest.fixture
def sandbox() -> web.Application:
    return create_sandbox()


@pytest.fixture
def phone(sandbox: web.Application) -> Phone:
    return sandbox[PHONE]


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, sandbox: web.Application) -> Client:
    return await aiohttp_client(sandbox)


async def order(client: Client, fault: str, **details: Any) -> None:
    async with client.post("/faults", json={"instance": "demo", "fault": fault, **details}) as response:
        assert response.status == 200
        assert (await response.json())["ok"] is True


async def send(client: Client, state: str = "typing", instance: str = "demo", **options: Any) -> tuple[int, Any]:
    body = {"chat": CHAT, "state": state}
    async with client.post(f"/instances/{instance}/presence", json=body, **options) as response:
        return response.status, await response.json()


async def until_struck(client: Client) -> None:
    while True:
        async with client.get("/faults") as response:
            if any(fault["struck"] for fault in (await response.json())["faults"]):
                return


def states(phone: Phone) -> list[State]:
    return [told.state for told in phone.since(0)]


def unexpected() -> None:
    pytest.fail("the listener was cut off")


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ({"fault": "status"}, 500, "ordered to fail"),
        ({"fault": "status", "status": 418}, 418, "ordered to fail"),
        ({"fault": "not_connected"}, 503, "session is not connected"),
        ({"fault": "unknown_number"}, 400, "unknown number"),
        ({"fault": "unsupported"}, 501, "not supported"),
        ({"fault": "unauthorized"}, 401, "unauthorized"),
    ],
)
async def test_a_refusal_applies_nothing(
    client: Client,
    phone: Phone,
    fault: dict[str, Any],
    status: int,
    error: str,
) -> None:
    await order(client, **fault)
    assert await send(client) == (status, {"error": error})
    assert states(phone) == []


async def test_a_429_says_when_to_come_again(client: Client) -> None:
    await order(client, "status", status=429)
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")


async def test_a_disconnected_instance_says_so_when_probed(client: Client) -> None:
    await order(client, "not_connected")
    async with client.get("/instances/demo") as response:
        assert await response.json() == {"instance": "demo", "state": "disconnected"}


async def test_hang_answers_nobody_and_applies_nothing(client: Client, phone: Phone) -> None:
    await order(client, "hang")
    with pytest.raises(TimeoutError):
        await send(client, timeout=SEEN_S)
    assert states(phone) == []


async def test_a_hanging_call_is_closed_when_the_fault_is_cleared(client: Client, phone: Phone) -> None:
    await order(client, "hang")
    hanging = asyncio.ensure_future(send(client))
    await until_struck(client)
    await client.delete("/faults")
    with pytest.raises(aiohttp.ClientConnectionError):
        await hanging
    assert states(phone) == []
    assert await send(client) == (200, {"ok": True})


async def test_a_hanging_call_ends_when_its_client_leaves(sandbox: web.Application) -> None:
    runner = web.AppRunner(sandbox, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sandbox[FAULTS].order(Fault("demo", Kind.HANG))
    body = b'{"chat": "5@g.us", "state": "typing"}'
    before = asyncio.all_tasks()
    _, leaving = await asyncio.open_connection(*runner.addresses[0][:2])
    leaving.write(b"POST /instances/demo/presence HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    while sandbox[FAULTS].listed()[0]["struck"] == 0:  # noqa: ASYNC110  (a fault tells nobody that it struck)
        await asyncio.sleep(0)
    handling = asyncio.all_tasks() - before
    leaving.close()
    # The runner does not cancel handlers, as in production: the fault itself has to notice.
    _, still_hanging = await asyncio.wait(handling, timeout=5)
    await runner.cleanup()
    assert handling
    assert still_hanging == set()


async def test_slow_applies_at_once_and_answers_later(client: Client, phone: Phone) -> None:
    await order(client, "slow", delay=LONG_S)
    with phone.listen(None, unexpected) as listener:
        answer = asyncio.ensure_future(send(client))
        assert [told.state for told in await listener.take(quiet_s=5) if isinstance(told, Told)] == [State.TYPING]
    assert not answer.done()
    await client.delete("/faults")
    assert await answer == (200, {"ok": True})


async def test_late_applies_after_the_client_gave_up(client: Client, phone: Phone) -> None:
    await order(client, "late", delay=1.0, count=1)
    with phone.listen(None, unexpected) as listener:
        with pytest.raises(TimeoutError):
            await send(client, timeout=SEEN_S)
        assert states(phone) == []
        await client.delete("/faults")
        assert [told.state for told in await listener.take(quiet_s=5) if isinstance(told, Told)] == [State.TYPING]


async def test_late_answers_a_client_that_waits(client: Client, phone: Phone) -> None:
    await order(client, "late", delay=0.01)
    assert await send(client) == (200, {"ok": True})
    assert states(phone) == [State.TYPING]


@pytest.mark.parametrize(("fault", "applied"), [("reset", []), ("lost_reply", [State.TYPING])])
async def test_the_connection_is_reset(client: Client, phone: Phone, fault: str, applied: list[State]) -> None:
    await order(client, fault)
    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await send(client)
    assert states(phone) == applied


async def test_garbage_is_a_page(client: Client, phone: Phone) -> None:
    await order(client, "garbage")
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "<p>" in await response.text()
    assert states(phone) == []


async def test_huge_is_ten_megabytes(client: Client, phone: Phone) -> None:
    await order(client, "huge")
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        assert response.status == 200
        assert len(await response.read()) == 10 * 1024 * 1024
    assert states(phone) == []


async def test_huge_survives_a_client_that_reads_only_the_start(client: Client) -> None:
    await order(client, "huge", count=1)
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        assert await response.content.readexactly(1000) == b" " * 1000
        response.close()
    assert await send(client) == (200, {"ok": True})


async def test_redirect_leads_to_itself(client: Client, phone: Phone) -> None:
    await order(client, "redirect")
    path = "/instances/demo/presence"
    body = {"chat": CHAT, "state": "typing"}
    async with client.post(path, json=body, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, path)
    assert states(phone) == []


async def test_slow_bytes_trickle_until_the_fault_is_cleared(client: Client, phone: Phone) -> None:
    await order(client, "slow_bytes", delay=0.01)
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        assert response.status == 200
        assert await response.content.readexactly(3) == b"   "
        await client.delete("/faults")
        assert (await response.read()).strip() == b""
    assert states(phone) == []


async def test_slow_bytes_stop_when_the_client_leaves(client: Client) -> None:
    await order(client, "slow_bytes", delay=0.0, count=1)
    async with client.post("/instances/demo/presence", json={"chat": CHAT, "state": "typing"}) as response:
        await response.content.readexactly(1)
        response.close()
    assert await send(client) == (200, {"ok": True})


async def test_a_fault_of_one_state_and_count_spares_the_rest(client: Client, phone: Phone) -> None:
    await order(client, "status", state="paused", count=1)
    answers = [(await send(client, state))[0] for state in ("typing", "paused", "paused")]
    assert answers == [200, 500, 200]
    assert states(phone) == [State.TYPING, State.PAUSED]


async def test_a_fault_can_be_everybodys(client: Client) -> None:
    await order(client, "unsupported", instance="*")
    assert (await send(client, instance="shop"))[0] == 501


async def test_none_clears_the_instances_fault(client: Client) -> None:
    await order(client, "reset")
    await order(client, "none")
    assert await send(client) == (200, {"ok": True})


async def test_faults_are_listed_with_a_line_on_every_kind(client: Client) -> None:
    await order(client, "late", count=2)
    async with client.get("/faults") as response:
        listing = await response.json()
    assert [(fault["instance"], fault["fault"], fault["count"]) for fault in listing["faults"]] == [("demo", "late", 2)]
    assert listing["kinds"] == {kind.value: kind.about for kind in Kind}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instance": "demo"},
        {"instance": "demo", "fault": "explode"},
        {"instance": "", "fault": "hang"},
        {"instance": "demo", "fault": "hang", "count": 0},
        {"instance": "demo", "fault": "hang", "delay": -1},
        {"instance": "demo", "fault": "status", "status": 100},
        {"instance": "demo", "fault": "hang", "state": "pause"},
        {"instance": "demo", "fault": "hang", "counts": 1},
    ],
)
async def test_a_bad_order_is_refused_and_changes_nothing(client: Client, body: dict[str, Any]) -> None:
    async with client.post("/faults", json=body) as response:
        assert response.status == 400
        assert "error" in await response.json()
    assert (await send(client))[0] == 200


@pytest.mark.parametrize("fault", ["hang", "slow", "late", "slow_bytes"])
async def test_nothing_that_waits_holds_up_the_servers_end(client: Client, fault: str) -> None:
    await order(client, fault, delay=LONG_S)
    waiting = asyncio.ensure_future(send(client))
    await until_struck(client)
    async with asyncio.timeout(5):
        await client.server.close()
        await asyncio.wait([waiting])
    assert waiting.exception() is not None or waiting.result()[0] in {200, 503}
