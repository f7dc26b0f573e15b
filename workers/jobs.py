"""A wake-up for a chat, done, counted and logged. Nothing of it raises."""

from collections.abc import Awaitable

import structlog

from gateway.presence.errors import StoreUnavailable
from gateway.presence.quiet import Quiet
from gateway.presence.steps import Claim
from gateway.presence.wakeups import WakeUpResult, WakeUps
from gateway.telemetry import trace
from gateway.telemetry.logs import chat_label
from gateway.telemetry.metrics import ENDS, LOST_LEASES, PAUSE_LATENESS, PAUSES, REFRESHES
from gateway.telemetry.trace import Trace

_LEVEL = {"abandoned": "error", "refreshed": "debug"}
"""Of a long indicator there are many refreshes, which say nothing new."""

_log = structlog.get_logger()


async def perform(wakeups: WakeUps, claim: Claim, change: str | None) -> WakeUpResult | None:
    """Do what was claimed for a chat; None where it could not be done, and is claimed again."""
    key = claim.grant.key
    with trace.arrived(claim.trace, f"wake {claim.grant.op}", "consumer"):
        return await _contain(wakeups.perform(claim, change), key.instance_id, key.chat.jid)


async def rest(quiet: Quiet, partition: int) -> None:
    """Make accounts of a partition unavailable whose time has come."""
    try:
        if quieted := await quiet.rest_due(partition):
            _log.info("accounts_quiet", count=quieted)
    except StoreUnavailable:
        pass  # counted where it failed; they stay due


async def _contain(work: Awaitable[WakeUpResult], instance_id: str, jid: str) -> WakeUpResult | None:
    """Whatever goes wrong, the record still says what is due: it is claimed again when its lease ends."""
    try:
        woken = await work
        if woken.did != "nothing":
            _record(woken, instance_id, jid)
    except StoreUnavailable:
        return None
    except Exception:  # noqa: BLE001 - see the docstring; it is logged whole
        _log.exception("wake_failed", instance=instance_id, chat=chat_label(jid))
        return None
    return woken


def _record(woken: WakeUpResult, instance_id: str, jid: str) -> None:
    if woken.did in {"refreshed", "refresh_failed"}:
        REFRESHES.labels(woken.outcome).inc()
    else:
        PAUSES.labels(woken.did).inc()
    if woken.ended:
        ENDS.labels(woken.ended).inc()
    here = Trace.parse(woken.trace) if woken.trace else None
    if woken.late_ms is not None:
        exemplar = {"trace_id": here.trace_id} if here else None
        PAUSE_LATENESS.labels(woken.trigger).observe(woken.late_ms / 1000, exemplar)
    if woken.lost_lease:
        LOST_LEASES.inc()
    getattr(_log, _LEVEL.get(woken.did, "info"))(
        "wake",
        did=woken.did,
        trigger=woken.trigger,
        outcome=woken.outcome,
        late_ms=woken.late_ms,
        ended=woken.ended,
        instance=instance_id,
        chat=chat_label(jid),
        **({"trace_id": here.trace_id} if here else {}),
    )
