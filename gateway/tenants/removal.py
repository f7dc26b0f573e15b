"""Deletions that cannot stop halfway: nobody gets in, what is owed is paused now, and only then the record goes.

Each step is one script and may be repeated; a worker takes up what another process left (`clean_up`).
"""

from collections.abc import Callable

from redis.asyncio import Redis

from gateway.presence.errors import AccountNotFound, InstanceNotFound
from gateway.presence.model import Instance
from gateway.store import keys
from gateway.store.redis import Executor, Script, command
from gateway.tenants.audit import CLI, entry
from gateway.tenants.reading import refuse
from gateway.tenants.views import AccountView

_CHATS_AT_ONCE = 500


class RedisRemoval:
    """Deletes instances and accounts."""

    def __init__(
        self,
        redis: Redis,
        executor: Executor,
        *,
        echo_s: float,
        hold_s: float = 30.0,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        """Keep what leaves for `hold_s`: so long a request that was admitted just before may still make a promise.

        Tenants are in `redis`, chats wherever `executor` finds them.
        """
        self._executor = executor
        self._echo_ms = round(echo_s * 1000)
        self._hold_ms = round(hold_s * 1000)
        self._clock_us = clock_us
        self._leave = Script(redis, "tenants/begin_deletion")
        self._leave_account = Script(redis, "tenants/begin_account_deletion")
        self._make_due = Script(self._executor, "store/make_due")
        self._owes = Script(self._executor, "store/owes")
        self._leaving = Script(redis, "tenants/leaving")
        self._purge = Script(redis, "tenants/purge")

    async def delete_instance(self, instance: Instance, *, by: str = CLI) -> None:
        """End an instance: its tokens are dead when this returns, and its pauses are on their way.

        Raises:
            InstanceNotFound: it is gone.
        """
        told = entry(by, "instance.delete", instance.id, instance.account_id, instance.name)
        refuse(await self._leave((keys.LEAVING,), (self._now(), instance.id, told)), gone=InstanceNotFound)
        # Dying here is safe: `clean_up` expedites whatever is leaving.
        await self._make_one_due(instance.chats_id)

    async def delete_account(self, account: AccountView, *, by: str = CLI) -> None:
        """End an account and its instances: all tokens are dead when this returns.

        Raises:
            AccountNotFound: it is gone.
        """
        told = entry(by, "account.delete", account.id, account.id, account.name)
        refuse(await self._leave_account((keys.LEAVING,), (self._now(), account.id, told)), gone=AccountNotFound)
        await self.expedite()

    async def clean_up(self) -> int:
        """Go on with every deletion and move under way; returns how many instances, places and accounts are left.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        over = []
        for chats_id, is_held_long_enough in await self._all_leaving():
            await self._make_one_due(chats_id)
            # What owes nothing by now never will again: nobody who was admitted before can still make a promise.
            if is_held_long_enough and not int(await self._owes((keys.chats(chats_id),), ())):
                over.append(chats_id)
        left = int(await self._purge((keys.FORMERS,), over))
        for chats_id in over:
            await command(self._executor, "DEL", keys.ends(chats_id))
        return left

    async def expedite(self) -> None:
        """Pause now what is owed where instances were before they moved, or are being deleted."""
        for chats_id, _ in await self._all_leaving():
            await self._make_one_due(chats_id)

    async def _all_leaving(self) -> list[tuple[str, bool]]:
        """Return under what each that leaves keeps its chats, and whether it was held for long enough."""
        flat = await self._leaving((keys.LEAVING, keys.FORMERS), (self._now(), self._hold_ms))
        return [(chats_id.decode(), bool(held)) for chats_id, held in zip(flat[::2], flat[1::2], strict=True)]

    async def _make_one_due(self, chats_id: str) -> None:
        """Go through its chats in steps, each short; one that slips by in between is found by the next `clean_up`."""
        looked_at = step = _CHATS_AT_ONCE
        passed = 0
        while looked_at == step:
            words = (self._now(), self._echo_ms, passed, step)
            looked_at = int(await self._make_due((keys.chats(chats_id),), words))
            passed += looked_at

    def _now(self) -> int | str:
        return "" if self._clock_us is None else self._clock_us()
