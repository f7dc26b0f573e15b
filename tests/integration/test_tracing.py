"""A caller's trace reaches the upstream and the pause, and with an exporter it is one tree of spans."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient
from integration.waking import claim_next
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from world import Phone, Tenant, until

from gateway.api.app import create_app
from gateway.presence.model import State
from gateway.telemetry import otel
from gateway.wiring import Services
from workers.jobs import perform

pytestmark = pytest.mark.one_server("headers and spans")

Client = TestClient[web.Request, web.Application]
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE_ID}-{SPAN_ID}-01"
PATH = "/api/chat/presence/demo"
SERVED, WOKEN = "POST /api/chat/presence/{instance}", "wake paused"
CHAT = "5511999999999"


@pytest.fixture
async def client(services: Services, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    return await aiohttp_client(create_app(services))


@pytest.fixture
async def spans(services: Services) -> AsyncIterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    async with otel.exporting(endpoint="", ratio=1.0, exporter=kept, every_s=0.05):
        yield kept


async def show(client: Client, tenant: Tenant, **headers: str) -> None:
    body = {"number": CHAT, "state": "typing", "duration": 1}
    answer = await client.post(PATH, json=body, headers={"token": tenant.instance_token, **headers})
    assert answer.status == 200


async def run_the_wake_up(services: Services) -> None:
    """Do what the worker does with what the command left to wake up."""
    await perform(services.wakeups, await claim_next(services), await services.directory.latest_change())


async def test_the_log_lines_of_the_request_and_of_its_pause_name_the_callers_trace(
    client: Client, services: Services, tenant: Tenant, redis: Redis, phone: Phone
) -> None:
    with structlog.testing.capture_logs() as lines:
        await show(client, tenant, traceparent=GIVEN)
        await run_the_wake_up(services)
    assert phone.states() == [State.TYPING, State.PAUSED]
    assert {line["event"]: line.get("trace_id") for line in lines} == {"request": TRACE_ID, "wake": TRACE_ID}


async def test_a_malformed_traceparent_is_neither_logged_nor_handed_on(
    client: Client, services: Services, tenant: Tenant, redis: Redis, phone: Phone
) -> None:
    with structlog.testing.capture_logs() as lines:
        await show(client, tenant, traceparent="00-nonsense")
        await run_the_wake_up(services)
    assert all("trace_id" not in line for line in lines)
    assert phone.traces == ["", ""]


async def test_the_upstream_is_told_the_trace_with_every_call_and_each_under_a_span_id_of_its_own(
    client: Client, services: Services, tenant: Tenant, redis: Redis, phone: Phone
) -> None:
    await show(client, tenant, traceparent=GIVEN)
    await run_the_wake_up(services)
    parts = [trace.split("-") for trace in phone.traces]
    assert [(version, trace_id, flags) for version, trace_id, _, flags in parts] == [("00", TRACE_ID, "01")] * 2
    assert len({SPAN_ID, *(span_id for _, _, span_id, _ in parts)}) == 3


async def test_with_an_exporter_server_redis_upstream_and_job_are_one_tree(
    client: Client, services: Services, tenant: Tenant, redis: Redis, phone: Phone, spans: InMemorySpanExporter
) -> None:
    await show(client, tenant, traceparent=GIVEN)
    await run_the_wake_up(services)
    kept = await finished(spans, SERVED, WOKEN)
    assert {span.context.trace_id for span in kept if span.context} == {int(TRACE_ID, 16)}
    names = {span.name: span for span in kept}
    server, job = names[SERVED], names[WOKEN]
    assert (server.kind, job.kind) == (SpanKind.SERVER, SpanKind.CONSUMER)
    assert parent_of(server) == int(SPAN_ID, 16)
    assert parent_of(job) == id_of(server)
    assert children(kept, server) >= {"redis admit", "redis promise", "POST sandbox", "redis settle", WOKEN}
    whose_it_is = {"redis HGET", "redis HMGET"}
    assert children(kept, job) == {*whose_it_is, "POST sandbox", "redis settle"}
    assert server.attributes is not None
    assert server.attributes["http.response.status_code"] == 200
    told = {trace.split("-")[2] for trace in phone.traces}
    assert told == {f"{id_of(span):016x}" for span in kept if span.name == "POST sandbox"}


async def test_with_an_exporter_a_trace_begins_here_where_the_caller_has_none(
    client: Client, services: Services, tenant: Tenant, redis: Redis, spans: InMemorySpanExporter
) -> None:
    await show(client, tenant)
    await run_the_wake_up(services)
    kept = await finished(spans, SERVED, WOKEN)
    assert len({span.context.trace_id for span in kept if span.context}) == 1
    assert [span.name for span in kept if span.parent is None] == [SERVED]


async def test_a_caller_who_does_not_sample_is_not_exported(
    client: Client, services: Services, tenant: Tenant, redis: Redis, phone: Phone, spans: InMemorySpanExporter
) -> None:
    await show(client, tenant, traceparent=GIVEN[:-2] + "00")
    await run_the_wake_up(services)
    assert all(trace.endswith("-00") and TRACE_ID in trace for trace in phone.traces)
    await show(client, tenant)  # sampled, so that its spans come after those that must not
    kept = await finished(spans, SERVED)
    assert int(TRACE_ID, 16) not in {span.context.trace_id for span in kept if span.context}


async def finished(spans: InMemorySpanExporter, *names: str) -> tuple[ReadableSpan, ...]:
    """The spans kept once those of these names are: a span ends, and is sent, after every one under it."""
    await until(lambda: {span.name for span in spans.get_finished_spans()}.issuperset(names), within_s=10)
    return spans.get_finished_spans()


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


def children(kept: tuple[ReadableSpan, ...], of: ReadableSpan) -> set[str]:
    return {span.name for span in kept if span.parent is not None and span.parent.span_id == id_of(of)}
