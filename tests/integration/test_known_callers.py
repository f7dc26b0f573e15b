"""A caller's second command takes a shorter way to Redis than their first; nobody can tell from the outside."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway.api.app import create_app
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import State, Target
from gateway.store import keys
from gateway.store.redis import command
from gateway.telemetry.metrics import REGISTRY
from gateway.wiring import House

Client = TestClient[web.Request, web.Application]
PATH = "/api/chat/presence/demo"
CHAT = "5511999999999"
TYPING = json.dumps({"number": CHAT, "state": "typing", "duration": 5}).encode()
PAUSE = json.dumps({"number": CHAT, "state": "pause"}).encode()
WARM = json.dumps({"number": "5511777777777", "state": "recording"}).encode()
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

INVALID = (401, "Invalid token")
MISMATCH = (403, "Instance token does not match the requested instance")
NOT_FOUND = (404, "Instance not found")
LIMITED = (429, "Rate limit exceeded. Try again later.")
AWAY = (503, "Service temporarily unavailable")
FINE = (200, "Presence 'typing' sent successfully (will auto-pause after 5 seconds)")

BAD = {
    b"": "Invalid request body",
    b"{": "Invalid request body",
    b"[]": "Invalid request body",
    b"null": "Invalid request body",
    b'{"number": 5, "state": "typing"}': "Invalid request body",
    b'{"number": "5511999999999", "state": "typing", "duration": "5"}': "Invalid request body",
    b'{"number": "5511999999999", "state": "typing", "duration": 1.5}': "Invalid request body",
    b'{"number": "5511999999999", "state": "typing", "x": "\xff"}': "Invalid request body",
    b'{"state": "typing"}': "Number is required",
    b'{"number": "", "state": "typing"}': "Number is required",
    b'{"number": "5511999999999"}': "State is required. Use 'typing', 'recording', or 'pause'",
    b'{"number": "5511999999999", "state": "dancing"}': "Invalid state. Use 'typing', 'recording', or 'pause'",
    b'{"number": "nobody", "state": "typing"}': "Invalid number",
    b'{"number": "5511999999999", "state": "typing", "duration": -1}': "Invalid duration. Use an integer from 0 to 60",
}


@dataclass
class Seen:
    """All that one command leaves to be seen: its answer, its log line, its metrics."""

    status: int
    message: str
    body: Any
    headers: dict[str, str]
    left: int | None
    log: dict[str, Any]
    metrics: dict[str, float]

    @property
    def told(self) -> tuple[int, str]:
        return self.status, self.message


def counters() -> dict[str, float]:
    """Every counter that a command moves, by name and labels."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for sample in samples
        if sample.name.startswith("presence_") and sample.name.endswith("_total")
    }


async def send(client: Client, token: str, body: Any = TYPING, **headers: str) -> Seen:
    before = counters()
    with structlog.testing.capture_logs() as lines:
        answer = await client.post(PATH, data=body, headers={"token": token, **headers})
        told = await answer.json()
    (line,) = (line for line in lines if line["event"] == "request")
    varying = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"}
    left = answer.headers.get("X-RateLimit-Remaining")
    return Seen(
        answer.status,
        told["message"] if told["success"] else told["error"]["message"],
        told,
        {name: value for name, value in answer.headers.items() if name.lower() not in varying},
        None if left is None else int(left),
        {name: value for name, value in line.items() if name not in {"ms", "request_id", "trace_id"}},
        {name: value - before.get(name, 0) for name, value in counters().items() if value != before.get(name, 0)},
    )


@dataclass
class Doors:
    """Two doors to one house: one knows the caller, to the other everybody is new."""

    house: House
    known: Client
    new: Client
    entered: list[object]

    async def know(self, token: str, *, instance: str = "demo") -> None:
        path = PATH.replace("demo", instance)
        assert (await self.known.post(path, data=WARM, headers={"token": token})).status == 200

    async def both(self, token: str, body: Any = TYPING, **headers: str) -> Seen:
        """Send the same by both doors, and see no difference; what was seen."""
        seen = await send(self.known, token, body, **headers)
        again = await send(self.new, token, body, **headers)
        if seen.status != 429 and seen.left is not None:
            assert again.left == seen.left - 1
        again.left = seen.left
        assert seen == again
        return seen


@asynccontextmanager
async def doors_of(
    house: House, aiohttp_client: Callable[..., Awaitable[Client]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    entered: list[object] = []
    enter = house.admission._enter

    async def entering(*args: Any) -> Any:
        entered.append(args)
        return await enter(*args)

    monkeypatch.setattr(house.admission, "_enter", entering)
    known, new = [await aiohttp_client(create_app(house)) for _ in range(2)]
    yield Doors(house, known, new, entered)


def narrow(house: House, most: int) -> House:
    """Return the same house with room for so many commands."""
    http = msgspec.structs.replace(house.settings.http, max_in_flight=most)
    return dataclasses.replace(house, settings=msgspec.structs.replace(house.settings, http=http))


@pytest.fixture
async def doors(
    house: House, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    async with doors_of(house, aiohttp_client, monkeypatch) as doors:
        await doors.know(tenant.account_token)
        yield doors


@pytest.fixture
async def tight(
    house: House, tenant: Tenant, aiohttp_client: Callable[..., Awaitable[Client]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    """Doors through which one command may be under way at a time."""
    async with doors_of(narrow(house, 1), aiohttp_client, monkeypatch) as doors:
        await doors.know(tenant.account_token)
        yield doors


def lose_replies_of(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Redis run every entrance, and its answer never come."""
    enter = house.admission._enter

    async def silent(*args: Any) -> Any:
        await enter(*args)
        raise StoreUnavailable

    monkeypatch.setattr(house.admission, "_enter", silent)


async def refuse(*args: Any, **options: Any) -> Any:
    raise StoreUnavailable


async def owes(house: House, tenant: Tenant) -> bool:
    """Whether anything is promised, or under way, on the chat."""
    record = await command(house.redis, "HGETALL", keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net"))
    jobs = [job.decode() for job in await command(house.redis, "ZRANGE", keys.QUEUE, 0, -1)]
    return b"owner" in record or any(job.startswith(f"{tenant.instance.id}:{CHAT}@") for job in jobs)


async def scripts_run(redis: Redis) -> int:
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


# What is the same


async def test_a_known_callers_command_looks_like_a_first_one(doors: Doors, tenant: Tenant, phone: Phone) -> None:
    seen = await doors.both(tenant.account_token)
    assert seen.told == FINE
    assert len(doors.entered) == 1
    assert seen.log["chat"]
    assert phone.states() == [State.RECORDING, State.TYPING, State.TYPING]


@pytest.mark.parametrize("body", BAD)
async def test_a_bad_body_of_a_known_caller_is_answered_and_counted_like_anybodys(
    doors: Doors, tenant: Tenant, body: bytes
) -> None:
    seen = await doors.both(tenant.account_token, body)
    assert seen.told == (400, BAD[body])
    assert seen.left == 98


async def test_a_body_that_is_not_what_its_encoding_says_is_an_invalid_body(doors: Doors, tenant: Tenant) -> None:
    seen = await doors.both(tenant.account_token, b"not gzip", **{"Content-Encoding": "gzip"})
    assert seen.told == (400, "Invalid request body")


async def test_a_body_that_is_too_long_is_refused_by_its_size_and_counted(doors: Doors, tenant: Tenant) -> None:
    seen = await doors.both(tenant.account_token, b" " * (doors.house.settings.http.max_body_bytes + 1) + TYPING)
    assert seen.told == (413, "Request body too large")
    assert seen.left == 98


async def test_a_body_that_comes_after_its_head_is_waited_for(doors: Doors, tenant: Tenant) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield TYPING[:10]
        await asyncio.sleep(0.05)
        yield TYPING[10:]

    seen = await send(doors.known, tenant.account_token, slowly())
    assert seen.told == FINE
    assert doors.entered == []


@pytest.mark.parametrize("status", [401, 404, 409, 422, 500, 503])
async def test_what_the_upstream_answers_is_told_alike(doors: Doors, tenant: Tenant, phone: Phone, status: int) -> None:
    phone.status = status
    seen = await doors.both(tenant.account_token)
    assert seen.status >= 400
    assert len(doors.entered) == 1
    assert not await owes(doors.house, tenant)


async def test_remaining_counts_down_by_one_for_each_command(doors: Doors, tenant: Tenant) -> None:
    seen = [await send(doors.known, tenant.account_token, body) for body in (TYPING, PAUSE, b"{", TYPING)]
    assert [one.left for one in seen] == [98, 97, 96, 95]
    assert len(doors.entered) == 3
    assert {one.headers["X-RateLimit-Limit"] for one in seen} == {"100"}


async def test_a_callers_trace_is_kept_with_the_promise(doors: Doors, tenant: Tenant, phone: Phone) -> None:
    given = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
    await send(doors.known, tenant.account_token, traceparent=given)
    assert len(doors.entered) == 1
    record = await command(doors.house.redis, "HGETALL", keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net"))
    assert record[b"trace"].decode().split("-")[1] == TRACE_ID == phone.traces[-1].split("-")[1]


async def test_the_first_command_of_a_caller_takes_three_scripts_and_every_later_one_two(
    doors: Doors, tenant: Tenant, redis: Redis
) -> None:
    await send(doors.known, tenant.account_token)  # so that Redis knows every script
    taken = []
    for body in (TYPING, TYPING, PAUSE, TYPING):
        before = await scripts_run(redis)
        assert (await send(doors.known, tenant.instance_token, body)).status == 200
        taken.append(await scripts_run(redis) - before)
    assert taken == [3, 2, 2, 2]


# What changes between two commands


async def revoke(house: House, tenant: Tenant) -> None:
    (token,) = (token for token in await house.directory.tokens(tenant.instance.account_id) if token.kind == "account")
    await house.directory.revoke_token(token.id)


async def suspend(house: House, tenant: Tenant) -> None:
    await house.tenancy.set_status(tenant.instance.account_id, "suspended")


async def delete(house: House, tenant: Tenant) -> None:
    await house.removal.delete_instance(tenant.instance)


async def spend(house: House, tenant: Tenant) -> None:
    await house.tenancy.set_limits(tenant.instance.account_id, {"per_minute": 1})


async def rename(house: House, tenant: Tenant) -> None:
    names = keys.instances(tenant.instance.account_id)
    await command(house.redis, "HDEL", names, "demo")
    await command(house.redis, "HSET", names, "renamed", tenant.instance.id)


Change = Callable[[House, Tenant], Awaitable[None]]


@pytest.mark.parametrize("body", [TYPING, PAUSE, b"{"], ids=["typing", "pause", "bad"])
@pytest.mark.parametrize(
    ("change", "told"),
    [(revoke, INVALID), (suspend, INVALID), (delete, NOT_FOUND), (rename, NOT_FOUND), (spend, LIMITED)],
)
async def test_what_changed_since_their_last_command_is_felt_with_the_next(
    doors: Doors, tenant: Tenant, phone: Phone, change: Change, told: tuple[int, str], body: bytes
) -> None:
    await change(doors.house, tenant)
    for _ in range(2):
        seen = await doors.both(tenant.account_token, body)
        assert seen.told == told
    assert phone.states() == [State.RECORDING]
    await doors.house.presence.drain()
    assert not await owes(doors.house, tenant)


async def test_an_instance_token_is_refused_once_its_name_is_anothers(doors: Doors, tenant: Tenant) -> None:
    await doors.know(tenant.instance_token)
    other = await doors.house.directory.create_instance(tenant.instance.account_id, "other")
    await command(doors.house.redis, "HSET", keys.instances(tenant.instance.account_id), "demo", other.id)
    assert (await doors.both(tenant.instance_token)).told == MISMATCH
    assert doors.entered


async def test_an_instance_that_moved_is_told_at_its_new_place_in_the_same_command(
    doors: Doors, tenant: Tenant, phone: Phone, other_phone: Phone
) -> None:
    await doors.house.directory.move_instance(tenant.instance.id, Target("sandbox", other_phone.url, "demo"))
    assert (await doors.both(tenant.account_token)).told == FINE
    assert (phone.states(), other_phone.states()) == ([State.RECORDING], [State.TYPING] * 2)
    await doors.house.presence.drain()
    await send(doors.known, tenant.account_token)
    assert len(doors.entered) == 2
    assert len(other_phone.states()) == 3


async def test_another_instance_of_the_same_name_is_told_instead_of_the_deleted_one(
    doors: Doors, tenant: Tenant, other_phone: Phone
) -> None:
    await delete(doors.house, tenant)
    target = Target("sandbox", other_phone.url, "demo")
    again = await doors.house.directory.create_instance(tenant.instance.account_id, "demo", upstream=target)
    seen = await doors.both(tenant.account_token)
    assert seen.told == FINE
    assert seen.log["instance"] == again.id
    assert other_phone.states() == [State.TYPING] * 2
    await doors.house.presence.drain()
    assert not await owes(doors.house, tenant)


async def test_a_remembered_refusal_is_repeated_without_a_script(doors: Doors, tenant: Tenant, redis: Redis) -> None:
    await spend(doors.house, tenant)
    assert (await send(doors.known, tenant.account_token)).told == LIMITED
    await doors.house.presence.drain()
    before = await scripts_run(redis)
    assert (await send(doors.known, tenant.account_token)).told == LIMITED
    await doors.house.presence.drain()
    assert await scripts_run(redis) == before


@pytest.mark.parametrize("change", [revoke, delete], ids=["a revoked token", "a deleted instance"])
async def test_a_caller_who_was_refused_is_known_no_more_and_costs_one_script(
    change: Change, doors: Doors, tenant: Tenant, redis: Redis
) -> None:
    await doors.know(tenant.account_token)
    await change(doors.house, tenant)
    assert (await send(doors.known, tenant.account_token)).status in {401, 404}
    await doors.house.presence.drain()
    before = await scripts_run(redis)
    for _ in range(3):
        assert (await send(doors.known, tenant.account_token)).status in {401, 404}
    await doors.house.presence.drain()
    assert await scripts_run(redis) == before + 3


# Room for one command only


async def hang(door: Client, tenant: Tenant, phone: Phone) -> "asyncio.Task[Seen]":
    phone.hangs = True
    asked = phone.asked
    first = asyncio.create_task(send(door, tenant.account_token))
    await until(lambda: phone.asked > asked, within_s=5)
    return first


async def test_a_known_caller_is_refused_at_once_while_every_place_is_taken(
    tight: Doors, tenant: Tenant, phone: Phone
) -> None:
    first = await hang(tight.known, tenant, phone)
    assert len(tight.entered) == 1
    assert (await send(tight.known, tenant.account_token, WARM)).told == AWAY
    assert len(tight.entered) == 1
    assert (await first).status == 504
    phone.hangs = False
    assert (await send(tight.known, tenant.account_token, WARM)).status == 200


async def test_while_every_place_is_taken_the_contracts_order_of_checks_holds(
    tight: Doors, tenant: Tenant, phone: Phone
) -> None:
    first = await hang(tight.known, tenant, phone)
    assert (await send(tight.known, tenant.account_token, b"{")).told == (400, "Invalid request body")
    await spend(tight.house, tenant)
    assert (await send(tight.known, tenant.account_token, WARM)).told == LIMITED
    await revoke(tight.house, tenant)
    assert (await send(tight.known, tenant.account_token, WARM)).told == INVALID
    first.cancel()


async def test_whoever_waits_for_redis_keeps_out_no_pause_that_needs_none(
    tight: Doors, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    async def hanging(*args: Any, **options: Any) -> Any:
        asked.set()
        await answers.wait()
        raise StoreUnavailable

    monkeypatch.setattr(tight.house.admission, "_enter", hanging)
    monkeypatch.setattr(tight.house.admission, "_admit", refuse)
    entering = asyncio.create_task(tight.known.post(PATH, data=TYPING, headers={"token": tenant.account_token}))
    await asked.wait()
    assert (await send(tight.known, tenant.account_token, PAUSE)).status == 200
    answers.set()
    assert (await entering).status == 503


async def unlimited(house: House, tenant: Tenant) -> None:
    await house.tenancy.set_limits(tenant.instance.account_id, {"per_minute": None})


async def explode(*args: Any, **options: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("where", ["presence.show", "admission._enter", "directory.instance"])
@pytest.mark.parametrize("fault", [explode, refuse], ids=["a fault of ours", "redis away"])
async def test_a_place_is_given_back_whatever_breaks(
    tight: Doors, tenant: Tenant, where: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, name = where.split(".")
    if name == "instance":
        await tight.house.directory.move_instance(tenant.instance.id, tenant.instance.target)
    with monkeypatch.context() as broken:
        broken.setattr(getattr(tight.house, part), name, fault)
        assert (await send(tight.known, tenant.account_token)).status == (500 if fault is explode else 503)
    assert (await send(tight.known, tenant.account_token, WARM)).status == 200


async def test_a_place_is_given_back_after_every_refusal(tight: Doors, tenant: Tenant, phone: Phone) -> None:
    async def status(body: bytes = TYPING) -> int:
        return (await send(tight.known, tenant.account_token, body)).status

    names = keys.instances(tenant.instance.account_id)
    phone.status = 500
    assert await status() == 502
    phone.status = 200
    assert await status(b"{") == 400
    assert await status() == 200
    await rename(tight.house, tenant)
    assert await status() == 404
    await command(tight.house.redis, "HSET", names, "demo", tenant.instance.id)
    assert await status() == 200
    await spend(tight.house, tenant)
    assert await status() == 429
    await unlimited(tight.house, tenant)
    assert await status() == 200
    await suspend(tight.house, tenant)
    assert await status() == 401
    await tight.house.tenancy.set_status(tenant.instance.account_id, "active")
    assert await status() == 200


async def test_a_command_whose_instance_moved_needs_no_second_place(
    tight: Doors, tenant: Tenant, other_phone: Phone
) -> None:
    await tight.house.directory.move_instance(tenant.instance.id, Target("sandbox", other_phone.url, "demo"))
    assert (await send(tight.known, tenant.account_token)).told == FINE
    assert other_phone.states() == [State.TYPING]


async def test_a_pause_without_redis_needs_no_second_place(
    tight: Doors, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tight.house.admission, "_enter", refuse)
    assert (await send(tight.known, tenant.account_token, PAUSE)).status == 200
    assert phone.states() == [State.RECORDING, State.PAUSED]


# Redis fails in the middle of an entrance


async def test_a_promise_whose_reply_was_lost_is_taken_back(
    doors: Doors, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lossy:
        lose_replies_of(doors.house, lossy)
        refused = await send(doors.known, tenant.account_token)
        assert refused.told == AWAY
        assert await owes(doors.house, tenant)
    await doors.house.presence.drain()
    assert not await owes(doors.house, tenant)
    assert phone.states() == [State.RECORDING]
    assert (await send(doors.known, tenant.account_token)).told == FINE


async def test_what_shows_already_keeps_its_own_pause_when_a_promise_is_taken_back(
    doors: Doors, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(doors.known, tenant.account_token)
    where = keys.record(tenant.instance.id, f"{CHAT}@s.whatsapp.net")
    until_ms = await command(doors.house.redis, "HGET", where, "until")
    with monkeypatch.context() as lossy:
        lose_replies_of(doors.house, lossy)
        assert (await send(doors.known, tenant.account_token, PAUSE.replace(b"pause", b"recording"))).told == AWAY
    await doors.house.presence.drain()
    assert await command(doors.house.redis, "HMGET", where, "state", "until", "owner") == [b"typing", until_ms, None]


async def test_a_pause_gets_through_although_its_entrances_reply_was_lost(
    doors: Doors, tenant: Tenant, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(doors.known, tenant.account_token)
    with monkeypatch.context() as lossy:
        lose_replies_of(doors.house, lossy)
        paused = await send(doors.known, tenant.account_token, PAUSE)
    assert paused.status == 200
    assert phone.states()[-1] is State.PAUSED
    assert [name for name in paused.metrics if "commands" in name] == [
        "presence_commands_total[('outcome', 'unpromised'), ('state', 'paused')]"
    ]


async def test_a_promise_of_a_command_that_was_refused_when_asked_again_is_taken_back(
    doors: Doors, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await doors.house.tenancy.set_limits(tenant.instance.account_id, {"per_minute": 2})
    enter = doors.house.admission._enter

    async def twice(*args: Any) -> Any:
        await enter(*args)
        return await enter(*args)

    monkeypatch.setattr(doors.house.admission, "_enter", twice)
    assert (await send(doors.known, tenant.account_token)).told == LIMITED
    assert await owes(doors.house, tenant)
    await doors.house.presence.drain()
    assert not await owes(doors.house, tenant)
