"""A services on the real Valkey, and a phone that writes down what it was told."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from fakes.ryzeapi import FakeRyzeapi
from integration.chats import LEASE_MS, Chats
from passing import Door, opened
from redis.asyncio import Redis as AsyncRedis
from world import Phone, Tenant, VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.model import Target
from gateway.settings import Fast, Redis, Settings
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import Argument, Script
from gateway.wiring import Services, open_services
from workers.watch import Watch
from workers.worker import work

SERVERS = {"one": "one_server", "cluster": "three_servers"}
"""What tests of the store run on, each by its fixture."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs Redis on both, but for those that say why they are content with one server."""
    if "redis_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("one_server") is None:
        metafunc.parametrize("redis_url", SERVERS.values(), ids=SERVERS, indirect=True)


@asynccontextmanager
async def ringing() -> AsyncIterator[Phone]:
    phone = Phone()
    app = web.Application()
    app.router.add_post("/instances/{instance}/presence", phone.tell)
    app.router.add_get("/instances/{instance}", phone.say)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    phone.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield phone
    await runner.cleanup()


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    async with ringing() as phone:
        yield phone


@pytest.fixture
async def other_phone() -> AsyncIterator[Phone]:
    async with ringing() as phone:
        yield phone


@pytest.fixture(autouse=True)
def _one_tag_for_each_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one server too, no script is given keys that a cluster keeps on two, or none, by which it would find one."""
    run = Script.__call__

    def run_on_one_server(script: Script, names: Sequence[str], args: Sequence[Argument]) -> Awaitable[Any]:
        assert len({re.match(r"pg:{([0-9]{2}|t)}:", name)[1] for name in names}) == 1  # type: ignore[index]
        return run(script, names, args)

    monkeypatch.setattr(Script, "__call__", run_on_one_server)


BOTH_WAYS = pytest.mark.parametrize(
    "services", [Fast(), Fast(batch_claims=False)], ids=["batch claims", "one at a time"], indirect=True
)
"""Both ways to wake keep the same promises."""


@pytest.fixture
async def services(request: pytest.FixtureRequest, redis: AsyncRedis, redis_url: str) -> AsyncIterator[Services]:
    fast = getattr(request, "param", Fast())
    async with open_services(Settings(redis=Redis(url=redis_url), fast=fast)) as services:
        yield services


@pytest.fixture
def chats(everywhere: AsyncRedis, redis: AsyncRedis, pipeline: Pipeline, clock: VirtualClock) -> Chats:
    indicators = RedisIndicators(
        pipeline, lease_s=LEASE_MS / 1000, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
    )
    return Chats(everywhere, clock, indicators)


@pytest.fixture
async def tenant(services: Services, phone: Phone) -> Tenant:
    account = await services.directory.create_account("acme")
    created = await services.directory.create_instance(
        account.id, "demo", upstream=Target("sandbox", phone.url, "demo")
    )
    return Tenant(account.token, created.token, await services.directory.find_instance(account.id, "demo"))


@pytest.fixture
async def ryzeapi() -> AsyncIterator[FakeRyzeapi]:
    async with FakeRyzeapi() as fake:
        yield fake


@pytest.fixture
async def door(redis: AsyncRedis, redis_url: str, ryzeapi: FakeRyzeapi) -> AsyncIterator[Door]:
    async with opened(redis_url, ryzeapi, ryzeapi.target(), timeout_s=0.8, recheck_s=0.1) as door:
        yield door


@asynccontextmanager
async def working(services: Services) -> AsyncIterator[Watch]:
    """Run a worker inside the block."""
    watch = Watch(asyncio.Event())
    task = asyncio.create_task(work(services.settings, services, watch))
    try:
        yield watch
    finally:
        watch.stop.set()
        await task
