"""The real arq worker on a real Valkey: it reads what the scripts wrote, and outlives what befalls Redis."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from arq.connections import ArqRedis
from arq.jobs import Job, deserialize_job_raw
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway.model import Chat, State
from gateway.store import keys
from gateway.store.redis import command
from gateway.wiring import House
from workers.sweep import sweep_for_ever
from workers.worker import create_worker, work

CHAT = Chat("5511999999999@s.whatsapp.net")


@contextlib.asynccontextmanager
async def working(house: House) -> AsyncIterator[None]:
    stop = asyncio.Event()

    async def keep_working() -> None:
        while not stop.is_set():
            await work(create_worker(house.settings, house, stop), drain_s=2)

    tasks = [asyncio.create_task(keep_working()), asyncio.create_task(sweep_for_ever(house.indicators))]
    try:
        yield
    finally:
        stop.set()
        await tasks[0]
        tasks[1].cancel()


async def test_arq_reads_the_job_that_the_script_wrote(house: House, tenant: Tenant, redis: Redis) -> None:
    await house.presence.show(tenant.instance, CHAT, State.TYPING, 5)
    ((job_id, score),) = await redis.zrange(keys.QUEUE, 0, -1, withscores=True)
    blob = await redis.get(b"arq:job:" + job_id)
    function, args, kwargs, _, _ = deserialize_job_raw(blob, deserializer=json.loads)
    assert (function, tuple(args), kwargs) == (
        "wake",
        (tenant.instance.id, CHAT.jid, job_id.decode().rpartition(":")[2]),
        {},
    )
    arq = ArqRedis(redis.connection_pool, default_queue_name=keys.QUEUE)
    job = Job(job_id.decode(), arq, keys.QUEUE, json.loads)
    info = await job.info()
    assert info is not None
    assert info.score == int(score)


async def test_a_pause_arrives_by_itself_after_its_duration_and_never_before(
    house: House, tenant: Tenant, phone: Phone
) -> None:
    async with working(house):
        await house.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        await until(lambda: len(phone.told) == 2, within_s=3)
    (shown, _, _), (paused, state, _) = phone.told
    assert state is State.PAUSED
    assert paused - shown >= 1


async def test_a_finished_wake_up_leaves_nothing_of_arq_behind(
    house: House, tenant: Tenant, phone: Phone, redis: Redis
) -> None:
    async with working(house):
        await house.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        await until(lambda: len(phone.told) == 2, within_s=3)
    assert await redis.keys("arq:*") == []
    assert await redis.exists(keys.QUEUE) == 0


async def test_a_failing_upstream_gets_its_pause_when_it_is_back(house: House, tenant: Tenant, phone: Phone) -> None:
    async with working(house):
        await house.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        phone.status = 500
        await asyncio.sleep(1.5)
        phone.status = 200
        await until(lambda: phone.states() == [State.TYPING, State.PAUSED], within_s=5)


async def test_the_worker_goes_on_after_redis_threw_every_connection_out(
    house: House, tenant: Tenant, phone: Phone, redis: Redis
) -> None:
    async with working(house):
        for round_ in range(1, 4):
            await house.presence.show(tenant.instance, CHAT, State.TYPING, 1)
            await command(redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(lambda pauses=round_: phone.states().count(State.PAUSED) == pauses, within_s=6)  # type: ignore[misc]


async def test_a_job_that_vanished_from_the_queue_is_healed(
    house: House, tenant: Tenant, phone: Phone, redis: Redis
) -> None:
    async with working(house):
        await house.presence.show(tenant.instance, CHAT, State.TYPING, 1)
        await redis.delete(keys.QUEUE)
        await until(lambda: State.PAUSED in phone.states(), within_s=6)


async def test_hundreds_of_pauses_due_at_once_all_arrive(house: House, tenant: Tenant, phone: Phone) -> None:
    chats = [Chat(f"55119{number:08}@s.whatsapp.net") for number in range(300)]
    a_few = asyncio.Semaphore(20)

    async def show(chat: Chat) -> None:
        async with a_few:
            await house.presence.show(tenant.instance, chat, State.TYPING, 1)

    async with working(house):
        await asyncio.gather(*map(show, chats))
        await until(lambda: phone.states().count(State.PAUSED) == 300, within_s=30)
    paused = [chat for _, state, chat in phone.told if state is State.PAUSED]
    assert len(set(paused)) == 300
