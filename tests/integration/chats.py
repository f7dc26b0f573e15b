"""Short words for the record's scripts, in virtual time, and a look at when each chat wakes up."""

from dataclasses import dataclass, field
from typing import Literal

from integration.waking import claim_due, look
from redis.asyncio import Redis
from world import VirtualClock

from gateway.presence.model import Chat, State
from gateway.presence.steps import (
    Busy,
    ChatKey,
    Claim,
    Grant,
    NothingShows,
    Overtaken,
    RefreshPolicy,
    Repeated,
    Report,
    Settled,
    Unclear,
    Why,
)
from gateway.store.indicators import RedisIndicators

KEY = ChatKey("i1", Chat("5511999999999@s.whatsapp.net"))
OTHER_TENANT = ChatKey("i2", KEY.chat)
TYPING, RECORDING, PAUSED = State.TYPING, State.RECORDING, State.PAUSED
LEASE_MS = 5500
LINGER_MS = 30_000

Result = Literal["ok", "failed", "unknown"]


def chat(number: int, instance_id: str = "i1") -> ChatKey:
    return ChatKey(instance_id, Chat(f"55119{number:08}@s.whatsapp.net"))


@dataclass
class Chats:
    """A gateway's commands and a worker's wake-ups, played by hand."""

    redis: Redis
    clock: VirtualClock
    indicators: RedisIndicators
    owners: int = 0
    refresh: RefreshPolicy = field(default_factory=lambda: RefreshPolicy(4.0, 5.0))

    async def promise(
        self,
        op: State,
        seconds: float = 0,
        *,
        key: ChatKey = KEY,
        owner: str = "",
        ticket: str | None = None,
        why: Why = "",
    ) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
        return await self.indicators.promise(
            key,
            op,
            round(seconds * 1000),
            owner=owner or self._owner(),
            ticket=ticket,
            trace="00-trace",
            refresh=self.refresh,
            why=why,
        )

    async def granted(self, op: State, seconds: float = 0, *, key: ChatKey = KEY) -> Grant:
        grant = await self.promise(op, seconds, key=key)
        assert isinstance(grant, Grant)
        return grant

    async def settle(
        self, grant: Grant, result: Result = "ok", seconds: float = 0, age_ms: int = 0, sent_ms_ago: int | None = 0
    ) -> Settled:
        report = Report(result, self.refresh, age_ms, sent_ms_ago)
        return await self.indicators.settle_command(grant, report, round(seconds * 1000))

    async def command(self, op: State, seconds: float = 0, result: Result = "ok", *, key: ChatKey = KEY) -> None:
        await self.settle(await self.granted(op, seconds, key=key), result, seconds)

    async def wakes(self) -> dict[ChatKey, int]:
        """Each chat that wakes up, and in how many milliseconds; every queue must say the same."""
        found: dict[ChatKey, int] = {}
        first: dict[str, int] = {}
        for key in await self.redis.keys("pg:{??}:chats:*"):
            chats_id = key.decode().rpartition(":")[2]
            chats: list[tuple[bytes, float]] = await self.redis.zrange(key, 0, -1, withscores=True)
            first[chats_id] = min(round(at) for _, at in chats)
            found |= {ChatKey(chats_id, Chat(jid.decode())): round(at) - self.clock.ms for jid, at in chats}
        assert await self._queued() == first
        return found

    async def _queued(self) -> dict[str, int]:
        queued = [
            await self.redis.zrange(key, 0, -1, withscores=True) for key in await self.redis.keys("pg:{??}:queue")
        ]
        return {chats_id.decode(): round(at) for queue in queued for chats_id, at in queue}

    async def next_wake_ms(self) -> int | None:
        """When the only chat wakes up."""
        wakes = await self.wakes()
        assert len(wakes) <= 1
        return next(iter(wakes.values()), None)

    async def look(self, *, ahead_ms: int = 0) -> list[tuple[ChatKey, int]]:
        return await look(self.indicators, ahead_ms=ahead_ms)

    async def claim(self, key: ChatKey = KEY, *, owner: str = "") -> Claim | int | None:
        """Claim one chat, whether it was looked at or not."""
        (claim,) = await self.indicators.claim([key], owner=owner or self._owner())
        return claim

    async def claimed(self, key: ChatKey = KEY) -> Claim:
        claim = await self.claim(key)
        assert isinstance(claim, Claim)
        return claim

    async def claim_due(self, *, owner: str = "") -> list[Claim]:
        return await claim_due(self.indicators, owner=owner or self._owner())

    async def pause(self, claim: Claim) -> Settled:
        return await self.indicators.settle_wake(claim.grant, Report("ok", self.refresh, 0, 0), retry_ms=300)

    async def wake(self, result: Result = "ok", retry_ms: int | None = 300) -> tuple[State, Settled]:
        """Let time pass until the next wake-up and do what it asks for."""
        wait = await self.next_wake_ms()
        assert wait is not None
        self.clock.tick(max(wait, 0))
        claim = await self.claimed(next(iter(await self.wakes())))
        settled = await self.indicators.settle_wake(claim.grant, Report(result, self.refresh, 0, 0), retry_ms=retry_ms)
        return claim.grant.op, settled

    async def is_forgotten(self) -> bool:
        """Let time pass until the phone has let go of an indicator without an end, and find nothing to do."""
        assert await self.next_wake_ms() == LINGER_MS
        self.clock.tick(LINGER_MS)
        return await self.claim_due() == [] and await self.wakes() == {}

    def _owner(self) -> str:
        self.owners += 1
        return f"o{self.owners}"
