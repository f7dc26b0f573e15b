"""Replies of the scripts, read."""

from collections.abc import Sequence
from typing import Any

from gateway.presence.model import State
from gateway.presence.steps import Busy, ChatKey, Claim, Grant, NothingShows, Overtaken, Repeated, Unclear

_STATES = {state.value.encode(): state for state in State}


def info(told: bytes) -> dict[str, str]:
    """Return the lines of `INFO` by their names."""
    lines = (line.partition(":") for line in told.decode().splitlines())
    return {name: value for name, _, value in lines}


def promised(
    grant: Grant, verdict: bytes, told: Sequence[Any]
) -> Grant | Busy | Overtaken | Repeated | NothingShows | Unclear:
    """Return what `promise` answered; a grant says more than the one that was asked for."""
    if verdict == b"go":
        ticket, sent_ms_ago, promised_ms, shows = told
        return grant._replace(
            sent_ms_ago=sent_ms_ago if sent_ms_ago >= 0 else None,
            ticket=ticket.decode(),
            promised_ms=promised_ms,
            shows=_STATES.get(shows),
        )
    if verdict == b"busy":
        return Busy(told[0].decode(), told[1])
    if verdict == b"repeated":
        return Repeated(told[0].decode())
    if verdict == b"unclear":
        return Unclear()
    return NothingShows() if verdict == b"nothing" else Overtaken()


def claimed(key: ChatKey, owner: str, deadline_s: float, told: Sequence[Any]) -> Claim:
    """Return the wake-up that `owner` holds now."""
    op, state, overdue_ms, tries, trace, why = told
    return Claim(
        Grant(key, owner, _STATES[op], deadline_s),
        overdue_ms=int(overdue_ms),
        tries=int(tries),
        is_echo=state == b"",
        trace=trace.decode(),
        why=why.decode(),
    )
