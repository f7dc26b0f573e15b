"""The plain way to wake: arq's own worker, which starts one job after the other, in place of `fast/batch_claims`.

`[fast] batch_claims = false` chooses it. `WakeUps.claim`, `Indicators.claim`, `Early` and `claim.lua` are there for it
alone. Of arq it takes nothing but what is public; where arq's defaults would break a promise, the options say so.
"""

from typing import Any

from arq.worker import Function, Worker, func

from gateway.fast.batch_claims import Watch
from gateway.presence.wakeups import WakeUps
from gateway.store.indicators import parse_key
from workers.jobs import wake_one

_JOB_S = 30
"""arq drops a job that takes longer. The longest: claimed after 10 s without Redis, called, settled after 10 s more."""

_KEPT_S = 0
"""A result is nobody's; while it is kept, its job's id is taken."""

_TRIES = 1000
"""arq counts every start, a crash's too, and drops a job that has none left; the record says when to give up."""


async def wake(ctx: dict[str, Any], instance_id: str, jid: str, generation: str) -> None:
    """Do what is due on a chat; arq finds this function by its name in the job."""
    wakeups: WakeUps = ctx["wakeups"]
    await wake_one(wakeups, parse_key(instance_id, jid), generation)


WAKE: Function = func(wake, name="wake", keep_result=_KEPT_S, timeout=_JOB_S, max_tries=_TRIES)


class OneAtATime(Worker):
    """arq's worker; a look at its queue ends with its heart beat, which is where ours are told of it."""

    def __init__(self, wakeups: WakeUps, watch: Watch, *, lease_s: float, **options: Any) -> None:
        """Begin what is due on `wakeups`; a job whose worker died is free for another after `lease_s`."""
        super().__init__(ctx={"wakeups": wakeups}, keep_result=_KEPT_S, **options)
        self._watch = watch
        self.in_progress_timeout_s = lease_s

    async def heart_beat(self) -> None:
        """Beat as arq does, and be seen."""
        async with self._watch.looking(self):
            await super().heart_beat()
