"""Follows the way of a presence to its upstream, and says where it ends."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from gateway.presence.model import Outcome, Target
from gateway.store.redis import command
from gateway.upstreams.base import Connection
from gateway.upstreams.client import Examination, UpstreamClient

_SKEW_MS = 250
"""Clocks further apart than this make pauses late, or workers wait for them."""

Verdict = Literal["ok", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    detail: str


async def examine(redis: Redis, upstreams: UpstreamClient, target: Target) -> list[Finding]:
    """Look for real: Redis, clocks, the upstream reached, its credential accepted, its session connected.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    clock, examination = await asyncio.gather(_clock(redis), upstreams.examine(target))
    return [clock, _reached(examination), _accepted(examination), _connected(examination)]


async def _clock(redis: Redis) -> Finding:
    """Compare with Redis' clock, which all times come from; half of the round trip is taken off."""
    before = time.time()
    seconds, microseconds = await command(redis, "TIME")
    skew_ms = ((before + time.time()) / 2 - int(seconds) - int(microseconds) / 1e6) * 1000
    verdict: Verdict = "ok" if abs(skew_ms) < _SKEW_MS else "bad"
    return Finding("clock", verdict, f"this machine is {skew_ms:+.0f} ms from Redis")


def _reached(examination: Examination) -> Finding:
    if examination.status is not None:
        return Finding("upstream reached", "ok", f"it answered {examination.status}")
    if examination.outcome is None:
        return Finding("upstream reached", "unknown", "this kind of upstream cannot be asked")
    return Finding("upstream reached", "bad", _SILENCE.get(examination.outcome, "no answer that could be read"))


_SILENCE = {
    Outcome.UNAVAILABLE: "no connection: is the URL right, and is it running?",
    Outcome.UNKNOWN: "connected, but no answer in time",
    Outcome.REJECTED: "the URL or the credential cannot be sent",
    Outcome.SEALED: "not called: no key in [secrets] encryption_keys opens the stored credential",
}


def _accepted(examination: Examination) -> Finding:
    if examination.status is None:
        return Finding("credential accepted", "unknown", "not asked")
    if examination.outcome is Outcome.UNAUTHORIZED:
        return Finding(
            "credential accepted", "bad", "it was refused: give the right one in PRESENCE_UPSTREAM_CREDENTIAL"
        )
    return Finding("credential accepted", "ok", "it was not refused")


def _connected(examination: Examination) -> Finding:
    verdict: Verdict = "bad"
    if examination.connection in {Connection.CONNECTED, Connection.UNKNOWN}:
        verdict = "ok" if examination.connection is Connection.CONNECTED else "unknown"
    return Finding("session connected", verdict, examination.connection.value)
