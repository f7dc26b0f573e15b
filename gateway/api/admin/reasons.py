"""Why something did not show, or does not end, in words for whoever is on call."""

from collections.abc import Sequence

from gateway.presence.model import Outcome
from gateway.store.ends import End
from gateway.upstreams.doctor import Finding

_OF_OUTCOME = {
    Outcome.REJECTED: "the upstream answered with an error",
    Outcome.UNAUTHORIZED: "the upstream refuses the credential",
    Outcome.NOT_CONNECTED: "the session is not connected to WhatsApp",
    Outcome.NOT_READY: "the session is not ready",
    Outcome.UNKNOWN_NUMBER: "WhatsApp does not know the number",
    Outcome.DOUBTED_NUMBER: "the upstream doubts the number",
    Outcome.UNSUPPORTED: "the upstream has no such indicator",
    Outcome.UNAVAILABLE: "the upstream cannot be reached",
    Outcome.GARBLED: "the upstream's answer cannot be read",
    Outcome.NOT_ALLOWED: "the upstream's address is not allowed",
    Outcome.SEALED: "no key opens the upstream's credential",
    Outcome.UNKNOWN: "the upstream does not answer in time",
}
_PASSES = {
    Outcome.UNAUTHORIZED,
    Outcome.NOT_CONNECTED,
    Outcome.NOT_READY,
    Outcome.UNAVAILABLE,
    Outcome.SEALED,
    Outcome.UNKNOWN,
}
"""What would be found again, were it still so."""

_NOBODY = "nobody was called: Redis was away, or the instance has gone"
_BRIEF_S = 2.0
"""What was ended sooner than this, hardly anybody saw."""

_NOTHING_WRONG = "Nothing is wrong as far as the upstream, which took it. What comes behind it only WhatsApp knows."


def of_outcome(outcome: str) -> str:
    """Say what an outcome means; '' where nobody was called."""
    return _OF_OUTCOME.get(Outcome(outcome), outcome) if outcome in set(Outcome) else _NOBODY


def of_late(outcome: str | None, *, has_worker: bool) -> str:
    """Say why a pause is late: what its upstream did lately, or who is missing."""
    if outcome is not None:
        return of_outcome(outcome)
    return "a worker is about to send it" if has_worker else "no worker runs"


def answer(findings: Sequence[Finding], last: End | None) -> str:
    """Say in one sentence why a presence did not show: the first thing that is wrong, or what became of the last."""
    for finding in findings:
        if finding.verdict == "bad":
            return f"It ends at “{finding.check}”: {finding.detail}."
    return _of_last(last) if last is not None else _NOTHING_WRONG


def _of_last(last: End) -> str:
    if not last.is_end:
        mended = " That is mended: the way is free now." if last.outcome in _PASSES else ""
        return f"The last one came to nothing: {of_outcome(last.outcome)}.{mended}"
    if not last.is_sure:
        return "The upstream did not say whether it showed the last one, so it was paused at once."
    shown_s = last.ended_s - last.since_s
    if shown_s < _BRIEF_S and last.by != "natural":
        return f"The last one showed for {shown_s:.1f} s only, and was ended by {_ENDED_BY[last.by]}."
    return _NOTHING_WRONG


_ENDED_BY = {
    "time": "its time",
    "pause": "a pause",
    "message": "a message",
    "replaced": "another state in its place",
}
