"""What is owed and how late it is, as a scrape tells it: by Redis' clock, in any process."""

import asyncio
from math import isnan

import pytest
from integration.waking import look, wake_next
from redis.asyncio import Redis as AsyncRedis
from world import Phone, Tenant

from gateway.presence.model import Chat, State, Target
from gateway.settings import Redis, Settings
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.metrics import REGISTRY
from gateway.telemetry.probes import create_ops
from gateway.wiring import Services, open_services

CHAT = Chat("5511999999999@s.whatsapp.net")


def told(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, name
    return value


async def scrape(services: Services) -> None:
    await Gauges(services.health.look, services.upstreams.count_open_circuits).refresh()


async def test_what_is_promised_is_owed_until_it_is_paused(services: Services, tenant: Tenant) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 60)
    await scrape(services)
    assert (told("presence_pauses_owed"), told("presence_pauses_retrying")) == (1, 0)
    assert told("presence_pause_oldest_overdue_seconds") == 0
    await services.presence.show(tenant.instance, CHAT, State.PAUSED, 0)
    await services.presence.drain()
    await scrape(services)
    assert told("presence_pauses_owed") == 0


async def test_a_wake_up_that_nobody_runs_grows_overdue(services: Services, tenant: Tenant, redis: AsyncRedis) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
    await asyncio.sleep(1.3)
    await scrape(services)
    assert 0.2 < told("presence_pause_oldest_overdue_seconds") < 30
    assert told("presence_queue_due_jobs") == 1


@pytest.mark.one_server("waits for its tries; test_claims.py counts them in virtual time")
async def test_a_pause_that_fails_again_and_again_counts_from_its_own_time_and_not_from_its_next_try(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
    phone.status = 500
    await asyncio.sleep(1.0)
    for _ in range(4):
        await wake_next(services)
    await scrape(services)
    assert told("presence_pauses_retrying") == 1
    assert told("presence_pause_oldest_overdue_seconds") > 1.0
    ((_, in_ms),) = await look(services.indicators, ahead_ms=60_000)
    assert in_ms > 0, "its next try is still to come"
    phone.status = 200
    await wake_next(services)
    await scrape(services)
    assert (told("presence_pauses_retrying"), told("presence_pauses_owed")) == (0, 0)
    assert told("presence_pause_oldest_overdue_seconds") == 0


async def test_a_new_command_on_a_chat_whose_pause_failed_is_not_being_retried(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 1)
    phone.status = 500
    await asyncio.sleep(1.0)
    await wake_next(services)
    phone.status = 200
    await services.presence.show(tenant.instance, CHAT, State.TYPING, 30)
    await services.presence.drain()
    await scrape(services)
    assert (told("presence_pauses_retrying"), told("presence_pauses_owed")) == (0, 1)
    assert told("presence_pause_oldest_overdue_seconds") == 0


async def test_a_redis_without_an_append_only_file_is_not_persistent(
    services: Services, everywhere: AsyncRedis
) -> None:
    await scrape(services)
    assert told("presence_redis_up") == 1
    assert told("presence_redis_persistence_ok", kind="aof") == 0, "the tests' Valkey has none"
    assert told("presence_redis_persistence_ok", kind="rdb") == 1
    await everywhere.config_set("appendonly", "yes")
    try:
        await scrape(services)
        assert told("presence_redis_persistence_ok", kind="aof") == 1
    finally:
        await everywhere.config_set("appendonly", "no")


async def test_a_refused_credential_and_an_open_circuit_are_counted(
    services: Services, tenant: Tenant, phone: Phone
) -> None:
    before = told("presence_upstream_credential_refused_total", upstream="sandbox")
    phone.status = 401
    await services.upstreams.send(tenant.instance.target, CHAT, State.TYPING, timeout_s=1)
    assert told("presence_upstream_credential_refused_total", upstream="sandbox") == before + 1
    await scrape(services)
    assert told("presence_upstream_circuits_open") == 0
    nowhere = Target("sandbox", "http://127.0.0.1:1", "demo")
    for _ in range(5):
        await services.upstreams.send(nowhere, CHAT, State.TYPING, timeout_s=1)
    await scrape(services)
    assert told("presence_upstream_circuits_open") == 1


async def test_while_redis_is_away_a_scrape_says_so_and_invents_no_figures() -> None:
    before = told("presence_redis_errors_total")
    async with open_services(Settings(redis=Redis(url="redis://127.0.0.1:1"))) as services:
        await scrape(services)
    assert told("presence_redis_up") == 0
    assert isnan(told("presence_pauses_owed"))
    assert isnan(told("presence_redis_persistence_ok", kind="aof"))
    assert told("presence_redis_errors_total") > before


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_the_metrics_come_in_the_format_that_the_scraper_asks_for(services: Services, accept: str) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    async def yes() -> bool:
        return True

    app = create_ops("gateway", yes, Gauges(services.health.look, services.upstreams.count_open_circuits).refresh)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/metrics", headers={"Accept": accept})
        text = await answer.text()
    assert answer.content_type == ("application/openmetrics-text" if accept else "text/plain")
    assert text.endswith("# EOF\n") == bool(accept)
    assert 'presence_build_info{role="gateway"' in text.replace('version="0.2.0",role="gateway"', 'role="gateway"')
