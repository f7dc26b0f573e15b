"""Creation, deletion, rotation: killed at any step nothing is half there; in virtual time on a real Valkey."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from integration.waking import claim_due
from redis.asyncio import Redis as AsyncRedis
from world import Tenant, VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.errors import AccountNotFound, InstanceNotFound, InvalidToken, TokenQuotaExceeded
from gateway.presence.model import Chat, State, Target
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy, Report
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command
from gateway.tenants.admission import RedisAdmission
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.checker import RedisChecker
from gateway.tenants.removal import RedisRemoval
from gateway.wiring import Services

CHAT = Chat("5511999999999@s.whatsapp.net")
OK = Report("ok", RefreshPolicy(4.0, 5.0), 0, 0)


class Killed(BaseException):
    """The process died here."""


class Mortal:
    """Both ways to Redis, whose caller dies before the n-th command, or right after it when the answer is lost."""

    def __init__(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ways: list[tuple[Any, Callable[..., Awaitable[Any]]]] = [
            (way, way.execute_command) for way in (services.redis, services.executor)
        ]
        self._patch = monkeypatch

    def dies_at(self, step: int, *, after: bool) -> None:
        left = step

        async def execute(real: Callable[..., Awaitable[Any]], *words: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise Killed
            try:
                return await real(*words, **options)
            finally:
                if left == 0:
                    raise Killed

        for way, real in self._ways:
            self._patch.setattr(way, "execute_command", partial(execute, real))

    def lives(self) -> None:
        for way, real in self._ways:
            self._patch.setattr(way, "execute_command", real)


async def survives(services: Services, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[Any]]) -> int:
    """Kill `work` at its next step each time, until it gets through; after each death nothing may be half there."""
    mortal = Mortal(services, monkeypatch)
    for step in range(1, 40):
        for after in (False, True):
            mortal.dies_at(step, after=after)
            try:
                await work()
                survived = True
            except Killed:
                survived = False
            finally:
                mortal.lives()
            assert await RedisChecker(services.redis, services.executor).problems() == []
            if survived:
                return step
    raise AssertionError


async def test_a_creation_that_dies_anywhere_leaves_all_or_nothing(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (f"n{number}" for number in range(100))
    account_id = tenant.instance.account_id
    await survives(services, monkeypatch, lambda: services.directory.create_instance(account_id, next(names)))
    await survives(services, monkeypatch, lambda: services.directory.create_account(next(names)))
    await survives(services, monkeypatch, lambda: services.directory.issue_token(account_id))


async def test_a_deletion_that_dies_anywhere_is_finished_by_a_worker(
    services: Services, tenant: Tenant, everywhere: AsyncRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal = RedisRemoval(services.redis, services.executor, echo_s=10, hold_s=0)
    account_id = tenant.instance.account_id

    async def delete_instance() -> None:
        found = await services.directory.find_instance(account_id, "demo")
        await removal.delete_instance(found)

    async def delete_account() -> None:
        await removal.delete_account(await services.directory.account(account_id))

    with pytest.raises(InstanceNotFound):  # killed after its first script, the next try finds it gone
        await survives(services, monkeypatch, delete_instance)
    await services.directory.create_instance(account_id, "second")
    with pytest.raises(AccountNotFound):
        await survives(services, monkeypatch, delete_account)
    await survives(services, monkeypatch, removal.clean_up)
    assert await removal.clean_up() == 0
    left = [key.decode() for key in await everywhere.keys("*")]
    assert set(left) <= {keys.AUDIT, keys.audit(account_id), keys.CHANGES}


async def test_a_rotation_that_dies_anywhere_leaves_a_token_that_works(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await survives(services, monkeypatch, lambda: services.tenancy.rotate_instance_token(tenant.instance))
    held = [token for token in await services.directory.tokens(tenant.instance.account_id) if token.kind == "instance"]
    assert len(held) == 1


async def test_the_checker_finds_what_a_careless_hand_breaks(
    services: Services, tenant: Tenant, redis: AsyncRedis
) -> None:
    checker = RedisChecker(services.redis, services.executor)
    assert await checker.problems() == []
    (token,) = [one for one in await services.directory.tokens(tenant.instance.account_id) if one.kind == "instance"]
    await redis.delete(keys.token(token.hash))
    assert len(await checker.problems()) == 2
    await redis.delete(keys.instance(tenant.instance.id))
    assert len(await checker.problems()) == 4
    await redis.set(keys.RESTORING, "1")
    assert "a restore was interrupted; run it again" in await checker.problems()


class Scene:
    """An instance that owes, a clock that we move, and the worker's part played by hand."""

    def __init__(
        self, services: Services, everywhere: AsyncRedis, pipeline: Pipeline, clock: VirtualClock, tenant: Tenant
    ) -> None:
        self.services, self.redis, self.clock, self.tenant = services, everywhere, clock, tenant
        self.indicators = RedisIndicators(
            pipeline, lease_s=5.5, echo_s=10, patience_s=2, monotonic=clock.monotonic, clock_us=clock.redis_us
        )
        self.removal = RedisRemoval(services.redis, pipeline, echo_s=10, hold_s=30, clock_us=clock.redis_us)
        self.key = ChatKey(tenant.instance.id, CHAT)

    async def promise(self) -> Grant:
        grant = await self.indicators.promise(
            self.key, State.TYPING, 60_000, owner="o", ticket=None, trace="", refresh=OK.refresh
        )
        assert isinstance(grant, Grant)
        return grant

    async def wake(self, report: Report = OK) -> State | None:
        """Do what is due now; None where nothing is."""
        claims = await claim_due(self.indicators)
        if not claims:
            return None
        (claim,) = claims
        keeper = await self.services.directory.keeper(self.key.instance_id, None)
        assert keeper is not None, "its credential must be there still"
        await self.indicators.settle_wake(claim.grant, report, retry_ms=300)
        return claim.grant.op


@pytest.fixture
def scene(services: Services, everywhere: AsyncRedis, pipeline: Pipeline, clock: VirtualClock, tenant: Tenant) -> Scene:
    return Scene(services, everywhere, pipeline, clock, tenant)


async def test_a_pending_pause_is_brought_forward_and_the_credential_outlives_it(scene: Scene) -> None:
    await scene.indicators.settle_command(await scene.promise(), OK, 60_000)
    scene.clock.tick(1000)
    assert await scene.wake() is None
    await scene.removal.delete_instance(scene.tenant.instance)
    failed = Report("failed", OK.refresh, 0, 0)
    assert await scene.wake(failed) is State.PAUSED
    scene.clock.tick(60_000)
    assert await scene.removal.clean_up() == 1
    assert await scene.wake() is State.PAUSED
    assert await scene.removal.clean_up() == 0
    assert not await scene.redis.exists(keys.instance(scene.tenant.instance.id))


async def test_a_command_under_way_is_paused_as_soon_as_it_is_settled(scene: Scene) -> None:
    grant = await scene.promise()
    await scene.removal.delete_instance(scene.tenant.instance)
    await scene.removal.clean_up()
    assert await scene.wake() is None
    await scene.indicators.settle_command(grant, OK, 60_000)
    await scene.removal.clean_up()
    assert await scene.wake() is State.PAUSED


async def test_why_its_indicators_ended_leaves_with_an_instance(scene: Scene) -> None:
    scene.indicators._history_ms = 600_000
    await scene.indicators.settle_command(await scene.promise(), OK, 60_000)
    await scene.removal.delete_instance(scene.tenant.instance)
    assert await scene.wake() is State.PAUSED
    assert await scene.redis.xlen(keys.ends(scene.tenant.instance.id)) == 1
    scene.clock.tick(60_000)
    assert await scene.removal.clean_up() == 0
    assert not await scene.redis.exists(keys.ends(scene.tenant.instance.id))


async def test_an_echo_comes_at_its_own_time(scene: Scene) -> None:
    unknown = Report("unknown", OK.refresh, 0, 0)
    await scene.indicators.settle_command(await scene.promise(), unknown, 60_000)
    await scene.removal.delete_instance(scene.tenant.instance)
    assert await scene.wake() is State.PAUSED
    await scene.removal.clean_up()
    assert await scene.wake() is None
    scene.clock.tick(10_000)
    assert await scene.wake() is State.PAUSED


async def test_what_was_admitted_just_before_a_deletion_can_still_promise(scene: Scene) -> None:
    await scene.removal.delete_instance(scene.tenant.instance)
    scene.clock.tick(5000)
    assert await scene.removal.clean_up() == 1
    await scene.indicators.settle_command(await scene.promise(), OK, 60_000)
    await scene.removal.clean_up()
    assert await scene.wake() is State.PAUSED


async def test_a_deleted_accounts_instances_pause_and_then_all_of_it_is_gone(scene: Scene, services: Services) -> None:
    await scene.indicators.settle_command(await scene.promise(), OK, 60_000)
    account = await services.directory.account(scene.tenant.instance.account_id)
    await scene.removal.delete_account(account)
    assert await scene.wake() is State.PAUSED
    scene.clock.tick(31_000)
    assert await scene.removal.clean_up() == 0
    assert [key async for key in scene.redis.scan_iter(match=keys.account("*"))] == []


async def test_a_grace_time_ends_to_the_millisecond_and_leaves_nothing(
    services: Services, tenant: Tenant, redis: AsyncRedis, clock: VirtualClock
) -> None:
    tenancy = RedisTenancy(redis, services.directory.rows, clock_us=clock.redis_us)
    door = RedisAdmission(redis, per_minute=100, creation_per_minute=20, clock_us=clock.redis_us)
    old = services.hasher(tenant.instance_token)
    created = await tenancy.rotate_instance_token(tenant.instance, grace_s=60)
    clock.tick(59_999)
    await door.admit(old)
    await door.admit(services.hasher(created.token))
    assert await tenancy.expire_tokens() == 0
    clock.tick(1)
    with pytest.raises(InvalidToken):
        await door.admit(old)
    await door.admit(services.hasher(created.token))
    assert await tenancy.expire_tokens() == 1
    assert not await redis.exists(keys.token(old))
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_the_last_use_is_written_once_a_minute(
    services: Services, tenant: Tenant, redis: AsyncRedis, clock: VirtualClock
) -> None:
    door = RedisAdmission(redis, per_minute=100, creation_per_minute=20, clock_us=clock.redis_us)
    token_hash = services.hasher(tenant.account_token)
    seen = []
    for _ in range(4):
        await door.admit(token_hash)
        seen.append(int(await command(redis, "HGET", keys.token(token_hash), "used")))
        clock.tick(30_000)
    assert [at - seen[0] for at in seen] == [0, 0, 60_000, 60_000]


async def test_the_index_of_an_instances_chats_forgets_what_was_left_to_the_phone(scene: Scene) -> None:
    await scene.indicators.settle_command(await scene.promise(), OK, 0)
    index = keys.chats(scene.tenant.instance.id)
    assert await scene.redis.zcard(index) == 1
    scene.clock.tick(30_000)
    assert await scene.wake() is None
    assert await scene.redis.exists(index) == 0


async def test_what_was_left_to_the_phone_holds_no_deletion_up(scene: Scene) -> None:
    await scene.indicators.settle_command(await scene.promise(), OK, 0)
    scene.clock.tick(1000)
    await scene.removal.delete_instance(scene.tenant.instance)
    assert await scene.redis.exists(keys.chats(scene.tenant.instance.id)) == 0


async def test_a_moved_or_renamed_target_of_a_leaving_instance_is_no_more(services: Services, tenant: Tenant) -> None:
    await services.removal.delete_instance(tenant.instance)
    with pytest.raises(InstanceNotFound):
        await services.moves.move_instance(tenant.instance.id, Target("sandbox", "http://x", ""))
    with pytest.raises(InstanceNotFound):
        await services.tenancy.rotate_instance_token(tenant.instance)


async def test_an_instance_that_owes_thousands_is_expedited_in_short_steps(
    services: Services,
    tenant: Tenant,
    everywhere: AsyncRedis,
    pipeline: Pipeline,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.tenants.removal._CHATS_AT_ONCE", 7)
    scene = Scene(services, everywhere, pipeline, clock, tenant)
    for number in range(50):
        scene.key = ChatKey(tenant.instance.id, Chat(f"55119{number:08}@s.whatsapp.net"))
        await scene.indicators.settle_command(await scene.promise(), OK, 60_000)
    await scene.removal.delete_instance(tenant.instance)
    assert len(await claim_due(scene.indicators)) == 50


async def test_an_instance_has_ten_live_tokens_and_those_replaced_first_die_first(
    services: Services, tenant: Tenant, redis: AsyncRedis, clock: VirtualClock
) -> None:
    tenancy = RedisTenancy(redis, services.directory.rows, clock_us=clock.redis_us)
    made = [tenant.instance_token]
    for grace_s in (600, 60, 600, 600, 0, *[86_400] * 12):
        clock.tick(1)
        made.append((await tenancy.rotate_instance_token(tenant.instance, grace_s=grace_s)).token)
    living = [await redis.exists(keys.token(services.hasher(token))) for token in made]
    assert living == [0] * 8 + [1] * 10
    assert await RedisChecker(services.redis, services.executor).problems() == []


async def test_rotating_costs_the_same_however_often_it_was_done(
    services: Services, tenant: Tenant, redis: AsyncRedis
) -> None:
    async def calls() -> int:
        stats = await redis.info("commandstats")
        return sum(told["calls"] for name, told in stats.items() if name not in {"cmdstat_info", "cmdstat_evalsha"})

    costs = []
    for _ in range(40):
        before = await calls()
        await services.tenancy.rotate_instance_token(tenant.instance, grace_s=86_400)
        costs.append(await calls() - before)
    assert max(costs[12:]) == min(costs[12:])


async def test_an_account_has_as_many_tokens_of_its_own_as_it_may_and_no_more(
    services: Services, tenant: Tenant, redis: AsyncRedis
) -> None:
    account_id = tenant.instance.account_id
    for number in range(25):
        await services.directory.create_instance(account_id, f"n{number}")
    issued = [await services.directory.issue_token(account_id) for _ in range(19)]
    with pytest.raises(TokenQuotaExceeded):
        await services.directory.issue_token(account_id)
    last = await services.directory.token(issued[-1].id)
    with pytest.raises(TokenQuotaExceeded):
        await services.tenancy.rotate_token(last, grace_s=60)
    created = await services.tenancy.rotate_token(last)
    await services.tenancy.set_limits(account_id, {"tokens_quota": 21})
    await services.tenancy.rotate_token(await services.directory.token(created.id), grace_s=60)
    with pytest.raises(TokenQuotaExceeded):
        await services.directory.issue_token(account_id)
    await services.directory.revoke_token(issued[0].id)
    await services.directory.issue_token(account_id)
    assert await RedisChecker(services.redis, services.executor).problems() == []
