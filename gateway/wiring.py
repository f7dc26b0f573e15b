"""The object graph, opened and closed in one place; the gateway and the worker open the same services."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.fast import upstream_http
from gateway.presence.calls import Calls
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Target
from gateway.presence.quiet import Quiet
from gateway.presence.replay import Promises
from gateway.presence.service import Presence
from gateway.presence.wakeups import WakeUps
from gateway.settings import Settings, SettingsError, Tracing
from gateway.store.connections import open_executor
from gateway.store.ends import RedisEnds
from gateway.store.health import RedisHealth
from gateway.store.indicators import RedisIndicators
from gateway.store.process_registry import ProcessRegistry
from gateway.store.redis import Executor, open_redis, store_errors
from gateway.store.resting import RedisRestingAccounts
from gateway.store.showing import RedisShowing
from gateway.store.troubles import RedisTroubles
from gateway.telemetry.metrics import LOST_LEASES
from gateway.tenants.admission import RedisAdmission
from gateway.tenants.audit import RedisAudit
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.cipher import Cipher
from gateway.tenants.directory import RedisDirectory
from gateway.tenants.moves import RedisMoves
from gateway.tenants.removal import RedisRemoval
from gateway.tenants.sessions import Sessions
from gateway.tenants.tokens import TokenHasher
from gateway.tenants.usage import RedisUsage
from gateway.upstreams.client import UpstreamClient, open_client
from gateway.upstreams.forwarding import Forwarding, open_forwarding
from gateway.upstreams.http import open_session
from gateway.upstreams.policy import UpstreamPolicy
from gateway.upstreams.registry import ADAPTERS
from gateway.upstreams.resolver import open_resolver
from gateway.upstreams.sessions import Connections


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that lives as long as the process."""

    settings: Settings
    redis: Redis
    executor: Executor
    admission: RedisAdmission
    directory: RedisDirectory
    indicators: RedisIndicators
    health: RedisHealth
    processes: ProcessRegistry
    upstreams: UpstreamClient
    presence: Presence
    wakeups: WakeUps
    quiet: Quiet
    promises: Promises
    hasher: TokenHasher
    tenancy: RedisTenancy
    removal: RedisRemoval
    moves: RedisMoves
    showing: RedisShowing
    ends: RedisEnds
    troubles: RedisTroubles
    usage: RedisUsage
    audit: RedisAudit
    policy: UpstreamPolicy
    connections: Connections
    forwarding: Forwarding

    async def store_answers(self) -> bool:
        """Whether Redis answers right now."""
        try:
            async with store_errors():
                await self.redis.ping()
        except StoreUnavailable:
            return False
        return True


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Build the graph from `settings`. Nothing connects before it is used, so the order of start-ups is free."""
    async with AsyncExitStack() as stack:
        if settings.tracing.export:
            await stack.enter_async_context(_exporting(settings.tracing))
        redis = await stack.enter_async_context(
            open_redis(
                settings.redis.url,
                connect_timeout_s=settings.redis.connect_timeout_s,
                timeout_s=settings.redis.timeout_s,
                max_connections=settings.redis.max_connections,
            )
        )
        executor = await stack.enter_async_context(_executor(settings, redis))
        resolver = await stack.enter_async_context(open_resolver(settings.upstream.dns_addresses))
        policy = UpstreamPolicy(
            settings.upstream.allowed_origins,
            tenants_may_bring=settings.upstream.tenants_may_bring,
            resolver=resolver,
        )
        upstreams = await stack.enter_async_context(
            open_client(
                ADAPTERS,
                resolver,
                connections=settings.upstream.connections,
                connections_per_origin=settings.upstream.connections_per_origin,
                policy=policy,
                open_transport=upstream_http.open_transport if settings.fast.upstream_http else open_session,
            )
        )
        forwarding = await stack.enter_async_context(
            open_forwarding(resolver, connect_timeout_s=settings.pass_.connect_timeout_s, policy=policy)
        )
        services = _build(settings, redis, executor, upstreams, policy, forwarding)
        stack.push_async_callback(services.connections.close)
        yield services


def _exporting(tracing: Tracing) -> AbstractAsyncContextManager[None]:
    try:
        from gateway.telemetry import otel
    except ImportError as error:
        raise SettingsError(
            ["[tracing] export: needs OpenTelemetry: pip install 'presence-gateway[otel]', or switch it off"]
        ) from error
    return otel.exporting(endpoint=tracing.endpoint, ratio=tracing.ratio)


def _executor(settings: Settings, redis: Redis) -> AbstractAsyncContextManager[Executor]:
    """Open what runs the scripts of the hot path; `[fast] pipeline` chooses."""
    return open_executor(
        settings.redis.url,
        redis,
        pipelined=settings.fast.pipeline,
        connect_timeout_s=settings.redis.connect_timeout_s,
        timeout_s=settings.redis.timeout_s,
        max_connections=settings.redis.max_connections,
    )


def _build(
    settings: Settings,
    redis: Redis,
    executor: Executor,
    upstreams: UpstreamClient,
    policy: UpstreamPolicy,
    forwarding: Forwarding,
) -> Services:
    hasher = TokenHasher(settings.secrets.pepper.encode())
    directory = RedisDirectory(
        redis,
        hasher,
        Cipher([key for key in settings.secrets.encryption_keys.split(",") if key]),
        default_upstream=Target(settings.upstream.kind, settings.upstream.url, "", settings.upstream.credential),
        instances_per_account=settings.limits.instances_per_account,
        tokens_per_account=settings.limits.tokens_per_account,
        sessions=Sessions(hasher, nameless_kinds=[kind for kind, one in ADAPTERS.items() if not one.names_sessions]),
        sessions_by_account=settings.upstream.sessions == "account.instance",
        executor=executor,
    )
    indicators = RedisIndicators(
        executor,
        lease_s=settings.lease_s,
        echo_s=settings.presence.echo_s,
        patience_s=settings.redis.timeout_s,
        history_s=settings.presence.history_s,
    )
    admission = RedisAdmission(
        executor,
        per_minute=settings.limits.per_minute,
        creation_per_minute=settings.limits.creation_per_minute,
        reading_per_minute=settings.limits.reading_per_minute,
        events_per_minute=settings.limits.events_per_minute,
        account_per_minute=settings.limits.account_per_minute,
        global_per_minute=settings.limits.global_per_minute,
        failures_per_minute=settings.limits.failures_per_minute,
    )
    promises = Promises(indicators)
    health = RedisHealth(executor)
    removal = RedisRemoval(redis, executor, echo_s=settings.presence.echo_s)
    calls = Calls(upstreams, timeout_s=settings.upstream.timeout_s)
    presence = Presence(
        indicators, calls, promises, natural_end_s=settings.presence.natural_end_s, lost_lease=LOST_LEASES.inc
    )
    wakeups = WakeUps(indicators, calls, directory, give_up_s=settings.presence.give_up_s)
    resting = RedisRestingAccounts(executor, lease_s=settings.lease_s)
    quiet = Quiet(resting, upstreams, directory, upstream_timeout_s=settings.upstream.timeout_s)
    return Services(
        settings,
        redis,
        executor,
        admission,
        directory,
        indicators,
        health,
        ProcessRegistry(redis, upstreams.troubles.now),
        upstreams,
        presence,
        wakeups,
        quiet,
        promises,
        hasher,
        tenancy=RedisTenancy(redis, directory.rows, tokens_per_account=settings.limits.tokens_per_account),
        removal=removal,
        moves=RedisMoves(redis, directory.rows, directory.sessions, removal),
        showing=RedisShowing(executor, health),
        ends=RedisEnds(executor, history_s=settings.presence.history_s),
        troubles=RedisTroubles(redis),
        usage=RedisUsage(redis),
        audit=RedisAudit(redis),
        policy=policy,
        connections=Connections(upstreams),
        forwarding=forwarding,
    )
