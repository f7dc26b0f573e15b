"""Admission and promise in one step (`enter`): the promise is made for whom it was meant, and never twice."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis
from world import VirtualClock

from gateway.fast.pipeline import Pipeline
from gateway.presence.errors import InvalidToken
from gateway.presence.model import Chat, State, Target
from gateway.presence.ports import Ask, Busy, ChatKey, Grant, Overtaken, Pace, Report
from gateway.store import keys
from gateway.store.indicators import RedisIndicators
from gateway.store.redis import command
from gateway.tenants.admission import Admission, Guessing, RedisAdmission
from gateway.tenants.changes import RedisTenancy
from gateway.tenants.cipher import Cipher
from gateway.tenants.directory import Created, RedisDirectory
from gateway.tenants.removal import RedisRemoval
from gateway.tenants.tokens import TokenHasher

HASH = TokenHasher(b"pepper")
CHAT = Chat("5511999999999@s.whatsapp.net")
LEASE_MS = 5500
PACE = Pace(4.0, 5.5)
NOBODY_TOLD = Report("failed", PACE, 0, 0)


@dataclass
class Entrance:
    """An account with an instance, and short words for a caller who brings a promise along."""

    redis: Redis
    clock: VirtualClock
    door: RedisAdmission
    indicators: RedisIndicators
    directory: RedisDirectory
    account: Created
    instance: Created
    owners: int = 0

    @property
    def key(self) -> ChatKey:
        return ChatKey(self.instance.id, CHAT)

    @property
    def token_hash(self) -> str:
        return HASH(self.account.token)

    def ask(self, op: State = State.TYPING, seconds: int = 5, *, owner: str = "", trace: str = "") -> Ask:
        self.owners += 1
        ask = self.indicators.ask(self.key, op, seconds * 1000, owner=owner or f"o{self.owners}", trace=trace)
        assert ask is not None
        return ask

    async def version(self) -> str:
        found: bytes = await command(self.redis, "HGET", keys.instance(self.instance.id), "version")
        return found.decode()

    async def enter(self, ask: Ask, *, token: str = "", version: str | None = None, name: str = "demo") -> Admission:
        return await self.door.admit(
            HASH(token) if token else self.token_hash,
            instance_name=name,
            address="10.0.0.1",
            ask=ask,
            version=await self.version() if version is None else version,
        )

    def read(self, ask: Ask, admission: Admission) -> Grant | Busy | Overtaken | None:
        return self.indicators.read(ask, admission.promised)

    async def granted(self, ask: Ask) -> Grant:
        grant = self.read(ask, await self.enter(ask))
        assert isinstance(grant, Grant)
        return grant

    async def counted(self) -> int:
        return int(await command(self.redis, "LLEN", keys.window(self.token_hash, "global")))

    async def record(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await command(self.redis, "HGETALL", keys.record(self.instance.id, CHAT.jid))
        return found

    async def is_untouched(self) -> bool:
        """Whether nothing is promised on the chat."""
        return not (await self.record() or await self.redis.exists(keys.OWED, keys.QUEUE, keys.chats(self.instance.id)))

    async def chats(self) -> dict[bytes, object]:
        """Everything in Redis that is about chats: the records, what is owed and queued, the jobs and the index."""
        patterns = ("pg:c:*", "pg:chats:*", keys.OWED, keys.LATE, keys.QUEUE, "arq:*")
        names = sorted({name for pattern in patterns for name in await self.redis.keys(pattern)})
        return {name: (await self.redis.dump(name), await self.redis.persist(name)) for name in names}


@pytest.fixture
async def make(redis: Redis, pipeline: Pipeline, clock: VirtualClock) -> Callable[..., Awaitable[Entrance]]:
    async def make(**limits: int) -> Entrance:
        directory = RedisDirectory(
            redis, HASH, Cipher([]), default_upstream=Target("sandbox", "http://phone", ""), instances_per_account=100
        )
        account = await directory.create_account("acme")
        instance = await directory.create_instance(account.id, "demo")
        indicators = RedisIndicators(
            pipeline,
            lease_s=LEASE_MS / 1000,
            echo_s=10,
            patience_s=2,
            monotonic=clock.monotonic,
            clock_us=clock.redis_us,
        )
        await indicators.server()
        options = {"per_minute": 100, "creation_per_minute": 20} | limits
        door = RedisAdmission(pipeline, clock_us=clock.redis_us, **options)
        return Entrance(redis, clock, door, indicators, directory, account, instance)

    return make


@pytest.fixture
async def entrance(make: Callable[..., Awaitable[Entrance]]) -> Entrance:
    return await make()


async def test_the_very_instance_and_version_that_were_meant_are_promised(entrance: Entrance) -> None:
    ask = entrance.ask()
    admission = await entrance.enter(ask)
    assert (admission.is_limited, admission.instance_id) == (False, entrance.instance.id)
    assert (admission.principal.kind, admission.principal.account_id) == ("account", entrance.account.id)
    assert admission.instance_version == await entrance.version()
    grant = entrance.read(ask, admission)
    assert isinstance(grant, Grant)
    assert (grant.key, grant.owner, grant.op, grant.told_ms_ago) == (entrance.key, ask.owner, State.TYPING, None)
    assert (grant.deadline_s, grant.promised_ms) == (entrance.clock.monotonic() + LEASE_MS / 1000, entrance.clock.ms)
    assert (await entrance.record())[b"owner"] == ask.owner.encode()


async def test_the_instances_own_token_is_promised_too(entrance: Entrance) -> None:
    ask = entrance.ask()
    admission = await entrance.enter(ask, token=entrance.instance.token)
    assert (admission.principal.kind, admission.principal.instance_id) == ("instance", entrance.instance.id)
    assert isinstance(entrance.read(ask, admission), Grant)


async def test_a_spent_token_is_promised_nothing(make: Callable[..., Awaitable[Entrance]]) -> None:
    entrance = await make(per_minute=1)
    await entrance.door.admit(entrance.token_hash)
    admission = await entrance.enter(entrance.ask())
    assert (admission.is_limited, admission.promised) == (True, None)
    assert await entrance.is_untouched()
    assert await entrance.counted() == 1


async def test_over_the_cap_of_all_tokens_nothing_is_promised(make: Callable[..., Awaitable[Entrance]]) -> None:
    entrance = await make(global_per_minute=1)
    await entrance.door.admit(HASH(entrance.instance.token))
    admission = await entrance.enter(entrance.ask())
    assert (admission.is_limited, admission.promised) == (True, None)
    assert await entrance.is_untouched()


async def test_nobodys_token_is_promised_nothing_and_counts_as_a_guess(
    make: Callable[..., Awaitable[Entrance]],
) -> None:
    entrance = await make(failures_per_minute=2)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await entrance.enter(entrance.ask(), token="nobody")
    with pytest.raises(Guessing):
        await entrance.enter(entrance.ask(), token="nobody")
    assert await entrance.is_untouched()


async def revoke(entrance: Entrance, token_id: str) -> None:
    await entrance.directory.revoke_token(token_id)


async def suspend(entrance: Entrance, token_id: str) -> None:
    await RedisTenancy(entrance.redis, entrance.directory.rows).set_status(entrance.account.id, "suspended")


@pytest.mark.parametrize("take_away", [revoke, suspend])
async def test_a_token_that_was_taken_away_is_promised_nothing(
    entrance: Entrance, take_away: Callable[[Entrance, str], Awaitable[None]]
) -> None:
    issued = await entrance.directory.issue_token(entrance.account.id)
    await entrance.door.admit(HASH(issued.token), instance_name="demo")
    await take_away(entrance, issued.id)
    with pytest.raises(InvalidToken):
        await entrance.enter(entrance.ask(), token=issued.token)
    assert await entrance.is_untouched()


async def test_at_another_version_nothing_is_promised_and_the_new_one_is_named(entrance: Entrance) -> None:
    before = await entrance.version()
    await entrance.directory.move_instance(entrance.instance.id, Target("sandbox", "http://elsewhere", "demo"))
    admission = await entrance.enter(entrance.ask(), version=before)
    assert admission.promised is None
    assert admission.instance_version == await entrance.version() != before
    assert await entrance.is_untouched()


async def test_a_deleted_instance_is_promised_nothing(entrance: Entrance) -> None:
    before = await entrance.version()
    instance = await entrance.directory.instance_by_id(entrance.instance.id)
    await RedisRemoval(entrance.redis, echo_s=10).delete_instance(instance)
    admission = await entrance.enter(entrance.ask(), version=before)
    assert (admission.instance_id, admission.instance_version, admission.promised) == ("", "", None)
    assert await entrance.is_untouched()


async def test_another_that_has_the_name_by_now_is_promised_nothing(entrance: Entrance) -> None:
    ask, before = entrance.ask(), await entrance.version()
    instance = await entrance.directory.instance_by_id(entrance.instance.id)
    await RedisRemoval(entrance.redis, echo_s=10).delete_instance(instance)
    again = await entrance.directory.create_instance(entrance.account.id, "demo")
    # Not even where both were of one version.
    await command(entrance.redis, "HSET", keys.instance(again.id), "version", before)
    admission = await entrance.enter(ask, version=before)
    assert (admission.instance_id, admission.promised) == (again.id, None)
    assert await entrance.redis.keys("pg:c:*") == []


async def test_the_token_of_another_instance_of_the_account_is_promised_nothing(entrance: Entrance) -> None:
    other = await entrance.directory.create_instance(entrance.account.id, "other")
    admission = await entrance.enter(entrance.ask(), token=other.token)
    assert (admission.instance_id, admission.principal.instance_id) == (entrance.instance.id, other.id)
    assert admission.promised is None
    assert await entrance.is_untouched()


async def test_another_accounts_token_is_promised_nothing_even_on_an_instance_of_that_name(entrance: Entrance) -> None:
    stranger = await entrance.directory.create_account("stranger")
    theirs = await entrance.directory.create_instance(stranger.id, "demo")
    admission = await entrance.enter(entrance.ask(), token=stranger.token)
    assert (admission.instance_id, admission.promised) == (theirs.id, None)
    assert await entrance.is_untouched()


async def test_without_an_instances_name_nothing_is_promised(entrance: Entrance) -> None:
    admission = await entrance.enter(entrance.ask(), name="")
    assert (admission.instance_id, admission.promised) == ("", None)
    assert await entrance.is_untouched()


async def test_an_instance_that_is_gone_but_for_its_name_is_promised_nothing_without_a_version(
    entrance: Entrance,
) -> None:
    await entrance.redis.delete(keys.instance(entrance.instance.id))
    admission = await entrance.enter(entrance.ask(), version="v1")
    assert (admission.instance_version, admission.promised) == ("", None)


async def test_an_entrance_is_counted_once_whatever_becomes_of_its_promise(
    make: Callable[..., Awaitable[Entrance]],
) -> None:
    entrance = await make(global_per_minute=50)
    await entrance.enter(entrance.ask())  # granted
    await entrance.enter(entrance.ask())  # busy
    last = await entrance.enter(entrance.ask(), version="another")
    assert await entrance.counted() == 3
    assert await command(entrance.redis, "LLEN", keys.window("all", "global")) == 3
    assert last.quota.remaining == 97


async def test_with_and_without_a_promise_exactly_the_limit_is_admitted(
    make: Callable[..., Awaitable[Entrance]],
) -> None:
    entrance = await make(per_minute=10)
    version, token = await entrance.version(), entrance.token_hash
    asks = [entrance.ask() for _ in range(20)]
    answers = await asyncio.gather(
        *(entrance.enter(ask, version=version) for ask in asks),
        *(entrance.door.admit(token, instance_name="demo") for _ in asks),
    )
    admitted = [answer for answer in answers if not answer.is_limited]
    assert sorted(answer.quota.remaining for answer in admitted) == list(range(10))
    assert not any(answer.promised for answer in answers if answer.is_limited)
    assert await entrance.counted() == 10


async def test_what_an_entrance_answers_is_what_the_admission_alone_answers(entrance: Entrance) -> None:
    alone = await entrance.door.admit(entrance.token_hash, instance_name="demo")
    along = await entrance.enter(entrance.ask())
    remaining = alone.quota.remaining - 1
    assert along._replace(promised=None) == alone._replace(quota=alone.quota._replace(remaining=remaining))


@pytest.mark.parametrize(("op", "seconds"), [(State.TYPING, 5), (State.RECORDING, 0), (State.PAUSED, 0)])
@pytest.mark.parametrize("shows", [False, True], ids=["fresh", "over another"])
async def test_it_leaves_what_an_admission_and_then_a_promise_leave(
    entrance: Entrance, op: State, seconds: int, *, shows: bool
) -> None:
    async def before() -> None:
        await entrance.redis.delete(*(await entrance.redis.keys("pg:c:*") or ["none"]))
        await entrance.redis.delete(keys.OWED, keys.QUEUE, keys.chats(entrance.instance.id))
        await entrance.redis.delete(*(await entrance.redis.keys("arq:*") or ["none"]))
        if shows:
            grant = await entrance.granted(entrance.ask(State.RECORDING, 20, owner="older"))
            await entrance.indicators.settle_command(grant, Report("ok", PACE, 0, 0), 20_000)
        entrance.clock.tick(1000)

    began = entrance.clock.ms
    await before()
    await entrance.door.admit(entrance.token_hash, instance_name="demo")
    alone = await entrance.indicators.promise(
        entrance.key, op, seconds * 1000, owner="me", ticket=None, trace="00-trace"
    )
    left = await entrance.chats()
    entrance.clock.ms = began
    await before()
    ask = entrance.ask(op, seconds, owner="me", trace="00-trace")
    assert entrance.read(ask, await entrance.enter(ask)) == alone
    assert await entrance.chats() == left
    assert len(left) == 5
    assert (await entrance.record())[b"trace"] == b"00-trace"


async def test_run_twice_since_its_reply_was_lost_it_is_still_one_promise(entrance: Entrance) -> None:
    ask = entrance.ask()
    first = await entrance.granted(ask)
    entrance.clock.tick(300)
    second = await entrance.granted(ask)
    assert second.owner == first.owner
    assert int(second.ticket) > int(first.ticket)
    assert await entrance.redis.zcard(keys.QUEUE) == await entrance.redis.zcard(keys.OWED) == 1
    ((_, wakes_at),) = await entrance.redis.zrange(keys.QUEUE, 0, -1, withscores=True)
    assert wakes_at == entrance.clock.ms + LEASE_MS + 5000
    assert len(await entrance.redis.keys("arq:job:*")) == 1


async def test_run_twice_and_refused_the_second_time_the_promise_can_be_taken_back(
    make: Callable[..., Awaitable[Entrance]],
) -> None:
    entrance = await make(per_minute=1)
    ask = entrance.ask()
    await entrance.enter(ask)
    assert (await entrance.enter(ask)).is_limited
    await entrance.indicators.settle_command(Grant(ask.key, ask.owner, ask.op, 0.0), NOBODY_TOLD, 5000)
    assert await entrance.redis.zcard(keys.QUEUE) == await entrance.redis.zcard(keys.OWED) == 0
    assert b"owner" not in await entrance.record()


async def test_a_chat_that_another_holds_is_busy_and_the_line_is_kept(entrance: Entrance) -> None:
    await entrance.granted(entrance.ask())
    entrance.clock.tick(500)
    ask = entrance.ask(owner="waits")
    busy = entrance.read(ask, await entrance.enter(ask))
    assert isinstance(busy, Busy)
    assert busy.lease_ms == LEASE_MS - 500
    assert (await entrance.record())[b"ticket"] == busy.ticket.encode()
    newer = entrance.ask()
    assert isinstance(entrance.read(newer, await entrance.enter(newer)), Busy)
    again = await entrance.indicators.promise(
        entrance.key, State.TYPING, 5000, owner="waits", ticket=busy.ticket, trace=""
    )
    assert again == Overtaken()


async def test_who_was_overtaken_hears_so(entrance: Entrance) -> None:
    await entrance.granted(entrance.ask())
    late = entrance.ask()
    owner, _, *rest = late.words
    late = late._replace(words=(owner, "1", *rest))
    assert entrance.read(late, await entrance.enter(late)) == Overtaken()


async def test_what_nobody_waits_for_any_more_is_counted_and_not_promised(entrance: Entrance) -> None:
    ask = entrance.ask()
    entrance.clock.tick(2001)
    admission = await entrance.enter(ask)
    assert admission.promised == [b"expired"]
    assert entrance.read(ask, admission) is None
    assert await entrance.is_untouched()
    assert await entrance.counted() == 1


async def test_after_an_expired_promise_the_clock_is_looked_at_before_another_travels_along(
    entrance: Entrance,
) -> None:
    ask = entrance.ask()
    entrance.clock.tick(2001)
    entrance.read(ask, await entrance.enter(ask))
    words: dict[str, Any] = {"owner": "o", "trace": ""}
    assert entrance.indicators.ask(entrance.key, State.TYPING, 0, **words) is None
    await entrance.indicators.promise(entrance.key, State.TYPING, 0, ticket=None, **words)
    assert entrance.indicators.ask(entrance.key, State.TYPING, 0, **words) is not None
