"""The plain way to wake: arq's own worker, which starts one job after the other, in place of `fast/batch_claims`.

`[fast] batch_claims = false` chooses it. `WakeUps.claim_one`, `Indicators.claim_one`, `Early` and `claim_one.lua`
are there for it alone. Of arq it takes nothing but what is public; where arq's defaults would break a promise, the
options say so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from arq.worker import Function, Retry, Worker, func

from gateway.fast.batch_claims import Watch
from gateway.presence.errors import StoreUnavailable
from gateway.presence.places import Places
from gateway.presence.wakeups import WakeUps
from gateway.store.indicators import parse_key
from workers.jobs import wake_one

_JOB_S = 30
"""arq drops a job that takes longer. The longest: claimed after 10 s without Redis, called, settled after 10 s more."""

_KEPT_S = 0
"""A result is nobody's; while it is kept, its job's id is taken."""

_TRIES = 1000
"""arq counts every start, a crash's too, and drops a job that has none left; the record says when to give up."""


_FULL_S = 0.3
"""Until a job is looked at again whose account has its share of the places."""

AccountOf = Callable[[str], Awaitable[str]]
"""Says whose chats these are.

Raises:
    StoreUnavailable: Redis did not answer.
"""


async def wake(ctx: dict[str, Any], instance_id: str, jid: str, generation: str) -> None:
    """Do what is due on a chat; arq finds this function by its name in the job.

    Raises:
        Retry: its account has its share of the places, or Redis does not say whose it is.
    """
    places: Places = ctx["places"]
    account_id = await _account_of(ctx["account_of"], instance_id)
    if not places.take(account_id):
        raise Retry(defer=_FULL_S)
    began_s, woken = asyncio.get_running_loop().time(), None
    try:
        woken = await wake_one(ctx["wakeups"], parse_key(instance_id, jid), generation)
    finally:
        places.end(account_id, began_s, woken)


async def _account_of(account_of: AccountOf, instance_id: str) -> str:
    try:
        return await account_of(instance_id)
    except StoreUnavailable:
        raise Retry(defer=_FULL_S) from None


WAKE: Function = func(wake, name="wake", keep_result=_KEPT_S, timeout=_JOB_S, max_tries=_TRIES)


class OneAtATime(Worker):
    """arq's worker; a look at its queue ends with its heart beat, which is where ours are told of it."""

    def __init__(
        self, wakeups: WakeUps, account_of: AccountOf, places: Places, watch: Watch, *, lease_s: float, **options: Any
    ) -> None:
        """Begin what is due on `wakeups`, each in the share of `places` that is its account's.

        A job whose worker died is free for another after `lease_s`.
        """
        ctx = {"wakeups": wakeups, "account_of": account_of, "places": places}
        super().__init__(ctx=ctx, keep_result=_KEPT_S, **options)
        self._watch = watch
        self.in_progress_timeout_s = lease_s

    async def heart_beat(self) -> None:
        """Beat as arq does, and be seen."""
        async with self._watch.looking(self):
            await super().heart_beat()
