"""The rows of the fault table: what is done to a site while it is under load, and how late a pause may then be."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.load import Load
from chaos.site import Process, Site, wait_for
from chaos.stages import Stage, far_redis, one_redis, replicas, small_disk, two_sides

Strike = Callable[[Site, Load], Awaitable[float]]
"""Does it and mends it; returns for how many seconds the part was down."""


@dataclass(frozen=True)
class Row:
    """One fault; a pause is late by at most `bound_s`, plus the downtime where that counts."""

    name: str
    strike: Strike
    bound_s: float
    stage: Stage = one_redis
    plus_downtime: bool = False
    none_refused: bool = False
    some_refused: bool = False
    may_be_early: bool = False  # two primaries for a moment: what one of them lost is told again too late
    refused_while_down: bool = False  # and no longer
    spares: Literal["", "pauses", "all"] = ""  # of the chats that `Load.spared` names
    per_second: float = 15.0


async def _down(processes: list[Process], seconds: float) -> float:
    began = time.monotonic()
    for process in processes:
        process.kill()
    await asyncio.sleep(seconds)
    for process in processes:
        process.start()
    return time.monotonic() - began


async def nothing(site: Site, load: Load) -> float:
    return 0.0


async def gateway_killed(site: Site, load: Load) -> float:
    await _down(site.gateways[:1], 1.0)
    await wait_for(f"{site.urls[0]}/health")
    return 0.0


async def gateway_killed_in_a_call(site: Site, load: Load) -> float:
    await load.fault("slow", delay=1.5, state="typing")
    await asyncio.sleep(1.0)
    await load.clear_faults()
    return await gateway_killed(site, load)


async def worker_killed(site: Site, load: Load) -> float:
    await _down(site.workers[:1], 1.0)
    return 0.0


async def worker_killed_in_a_call(site: Site, load: Load) -> float:
    await load.fault("hang", state="paused")
    await asyncio.sleep(0.6)
    site.workers[0].kill()
    await load.clear_faults()
    await asyncio.sleep(1.0)
    site.workers[0].start()
    return 0.0


async def workers_down(site: Site, load: Load) -> float:
    began = time.monotonic()
    await _down(site.workers, 4.0)
    await asyncio.sleep(1.5)  # two interpreters start
    return time.monotonic() - began


async def worker_stopped(site: Site, load: Load) -> float:
    return await _stopped(site.workers[0], 8.0)


async def gateway_stopped(site: Site, load: Load) -> float:
    return await _stopped(site.gateways[0], 8.0)


async def _stopped(process: Process, seconds: float) -> float:
    process.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    process.signal(signal.SIGCONT)
    return seconds


async def rolling_deploy(site: Site, load: Load) -> float:
    """Each is back before the next one goes, as every deployer has it."""
    for worker, url in zip(site.workers, site.workers_ready, strict=True):
        await asyncio.to_thread(worker.stop)
        worker.start()
        await wait_for(url)
    for gateway, url in zip(site.gateways, site.urls, strict=True):
        await asyncio.to_thread(gateway.stop)
        gateway.start()
        await wait_for(f"{url}/health")
    return 0.0


async def redis_clients_killed(site: Site, load: Load) -> float:
    async with Redis.from_url(site.redis_urls[0]) as client:
        for _ in range(5):
            await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0.2)
    return 0.0


async def redis_killed(site: Site, load: Load) -> float:
    return await _down(site.redis, 2.0) + 0.2


async def redis_stopped(site: Site, load: Load) -> float:
    return await _stopped(site.redis[0], 10.0)


def upstream(kind: str, seconds: float = 4.0, **details: object) -> Strike:
    async def strike(site: Site, load: Load) -> float:
        await load.fault(kind, **details)
        await asyncio.sleep(seconds)
        await load.clear_faults()
        return seconds

    return strike


async def upstream_down(site: Site, load: Load) -> float:
    """The address refuses connections; the sandbox keeps its log, so it is stopped from accepting, not killed."""
    await load.fault("reset")
    await asyncio.sleep(4.0)
    await load.clear_faults()
    return 4.0


async def primary_killed(site: Site, load: Load) -> float:
    began = time.monotonic()
    site.redis[0].kill()
    await _becomes("master", site.redis_urls[1:])
    return time.monotonic() - began


async def sides_parted(site: Site, load: Load) -> float:
    """A primary that is alive is replaced, and told so when the network is whole again."""
    assert site.network is not None
    began = time.monotonic()
    site.network.cut("left", "right")
    await _becomes("master", site.redis_urls[1:])
    await asyncio.sleep(began + 8.0 - time.monotonic())
    site.network.mend("left", "right")
    await _becomes("slave", site.redis_urls[:1])
    return time.monotonic() - began


async def _becomes(role: str, urls: list[str]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for url in urls:
            with contextlib.suppress(RedisError):
                async with Redis.from_url(url, socket_timeout=1) as client:
                    if (await client.info("replication"))["role"] == role:
                        return
        await asyncio.sleep(0.1)
    raise AssertionError(f"none became {role}")


async def redis_out_of_reach(site: Site, load: Load) -> float:
    assert site.network is not None
    site.network.unplug("redis")
    await asyncio.sleep(5.0)
    site.network.plug("redis")
    return 5.0


async def disk_full(site: Site, load: Load) -> float:
    """Valkey ends at a write that it cannot sync, and is started again and again, as a supervisor does."""
    assert site.disk is not None
    began = time.monotonic()
    site.disk.fill()
    while time.monotonic() < began + 4.0:
        if not site.redis[0].runs:
            site.redis[0].start()
        await asyncio.sleep(0.2)
    return await _disk_has_room(site, began)


async def disk_full_unsynced(site: Site, load: Load) -> float:
    """Valkey goes on and refuses every write."""
    assert site.disk is not None
    async with Redis.from_url(site.redis_urls[0]) as client:
        await client.config_set("appendfsync", "everysec")
        began = time.monotonic()
        site.disk.fill()
        await asyncio.sleep(4.0)
        down_s = await _disk_has_room(site, began)
        await client.config_set("appendfsync", "always")
    return down_s


async def _disk_has_room(site: Site, since: float) -> float:
    assert site.disk is not None
    site.disk.free()
    if not site.redis[0].runs:
        site.redis[0].start()
    while True:
        with contextlib.suppress(RedisError):
            async with Redis.from_url(site.redis_urls[0], socket_timeout=1) as client:
                await client.set("chaos", 1)
                await client.delete("chaos")
                return time.monotonic() - since
        await asyncio.sleep(0.05)


STEP_S = 6.0 + 4.5
ROWS = (
    Row("none", nothing, 0.1),
    Row("gateway: kill -9", gateway_killed, 6.0),
    Row("gateway: kill -9 while calling", gateway_killed_in_a_call, 6.0),
    Row("worker: kill -9", worker_killed, 7.0),
    Row("worker: kill -9 while sending", worker_killed_in_a_call, 7.0),
    Row("all workers: kill -9, 4 s", workers_down, 7.0, plus_downtime=True),
    Row("worker: stopped 8 s", worker_stopped, 7.0),
    Row("gateway: stopped 8 s", gateway_stopped, 6.0, plus_downtime=True),
    Row("deploy: SIGTERM one by one", rolling_deploy, 0.2, none_refused=True),
    Row("Redis: CLIENT KILL, 5 times", redis_clients_killed, 0.5),
    Row("Redis: kill -9, 2 s", redis_killed, 0.2, plus_downtime=True),
    Row("Redis: stopped 10 s", redis_stopped, 1.0, plus_downtime=True),
    Row("Redis: disk full, 4 s", disk_full, 0.5, small_disk, plus_downtime=True, some_refused=True),
    Row("Redis: disk full, 4 s, everysec", disk_full_unsynced, 0.5, small_disk, plus_downtime=True, some_refused=True),
    Row("network: Redis cut off, 5 s", redis_out_of_reach, 1.0, far_redis, plus_downtime=True, some_refused=True),
    Row("Sentinel: primary kill -9", primary_killed, 1.0, replicas, plus_downtime=True),
    Row(
        "Sentinel: primary cut off, 8 s",
        sides_parted,
        1.0,
        two_sides,
        plus_downtime=True,
        some_refused=True,
        may_be_early=True,
    ),
    Row("upstream: resets, 4 s", upstream_down, STEP_S, plus_downtime=True),
    Row("upstream: hangs, 4 s", upstream("hang"), STEP_S, plus_downtime=True),
    Row("upstream: answers 500, 4 s", upstream("status", status=500), STEP_S, plus_downtime=True),
    Row("upstream: answers 429, 4 s", upstream("status", status=429), STEP_S, plus_downtime=True),
    Row("upstream: replies lost, 4 s", upstream("lost_reply"), STEP_S, plus_downtime=True),
)
