"""Deletions that cannot stop halfway: nobody gets in, what is owed is paused now, and only then the record goes.

Each step is one script and may be repeated; a worker takes up what another process left (`clean_up`).
"""

from collections.abc import Callable

from redis.asyncio import Redis

from gateway.presence.errors import AccountNotFound, InstanceNotFound
from gateway.presence.model import Instance
from gateway.store import keys
from gateway.store.redis import Script, command
from gateway.tenants.audit import CLI, entry
from gateway.tenants.views import AccountView

_CHATS_AT_ONCE = 500


class RedisRemoval:
    """Deletes instances and accounts."""

    def __init__(
        self, redis: Redis, *, echo_s: float, hold_s: float = 30.0, clock_us: Callable[[], int] | None = None
    ) -> None:
        """Keep what leaves for `hold_s`: so long a request that was admitted just before may still make a promise."""
        self._redis = redis
        self._echo_ms = round(echo_s * 1000)
        self._hold_ms = round(hold_s * 1000)
        self._clock_us = clock_us
        self._leave = Script(redis, "tenants/begin_deletion")
        self._leave_account = Script(redis, "tenants/begin_account_deletion")
        self._make_due = Script(redis, "store/make_due")
        self._purge = Script(redis, "tenants/purge")

    async def delete_instance(self, instance: Instance, *, by: str = CLI) -> None:
        """End an instance: its tokens are dead when this returns, and its pauses are on their way.

        Raises:
            InstanceNotFound: it is gone.
        """
        told = entry(by, "instance.delete", instance.id, instance.account_id, instance.name)
        if await self._leave((), (self._now(), instance.id, told)) == b"gone":
            raise InstanceNotFound
        # Dying here is safe: `clean_up` expedites whatever is leaving.
        await self._make_one_due(instance.chats_id)

    async def delete_account(self, account: AccountView, *, by: str = CLI) -> None:
        """End an account and its instances: all tokens are dead when this returns.

        Raises:
            AccountNotFound: it is gone.
        """
        told = entry(by, "account.delete", account.id, account.id, account.name)
        if await self._leave_account((), (self._now(), account.id, told)) == b"gone":
            raise AccountNotFound
        await self._make_leaving_due()

    async def clean_up(self) -> int:
        """Go on with every deletion and move under way; returns how many instances, places and accounts are left."""
        await self._make_leaving_due()
        return int(await self._purge((), (self._now(), self._hold_ms)))

    async def _make_leaving_due(self) -> None:
        for instance_id in await command(self._redis, "SMEMBERS", keys.LEAVING):
            moves = await command(self._redis, "HGET", keys.instance(instance_id.decode()), "moves")
            await self._make_one_due(f"{instance_id.decode()}~{moves.decode()}" if moves else instance_id.decode())
        await self.expedite_formers()

    async def expedite_formers(self) -> None:
        """Pause now what is owed where instances were before they moved."""
        for chats_id in await command(self._redis, "SMEMBERS", keys.FORMERS):
            await self._make_one_due(chats_id.decode())

    async def _make_one_due(self, chats_id: str) -> None:
        """Go through its chats in steps, each short; one that slips by in between is found by the next `clean_up`."""
        looked_at = step = _CHATS_AT_ONCE
        passed = 0
        while looked_at == step:
            words = (self._now(), chats_id, self._echo_ms, passed, step)
            looked_at = int(await self._make_due(("", keys.OWED, keys.QUEUE), words))
            passed += looked_at

    def _now(self) -> int | str:
        return "" if self._clock_us is None else self._clock_us()
