"""One call to an upstream: within its lease or not at all, and what its outcome means."""

import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.presence.errors import (
    GatewayError,
    InstanceNotConnected,
    InvalidNumber,
    StateUnsupported,
    UpstreamCredentialRefused,
    UpstreamCredentialSealed,
    UpstreamNotAllowed,
    UpstreamRejected,
    UpstreamSilent,
    UpstreamUnavailable,
)
from gateway.presence.model import Chat, Instance, Outcome, State
from gateway.presence.ports import Upstreams
from gateway.presence.steps import Grant, RefreshPolicy, Report

_LEAST_TO_CALL_S = 0.5
"""With less of the lease left than this we do not call: the answer would come when the chat is somebody else's."""


class Calls:
    """Calls upstreams for whoever holds a chat's lease."""

    def __init__(
        self, upstreams: Upstreams, *, timeout_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait so long for an answer."""
        self._upstreams = upstreams
        self._timeout_s = timeout_s
        self.monotonic = monotonic

    def refresh_policy(self, instance: Instance) -> RefreshPolicy:
        """Return how an indicator is held on an instance's upstream."""
        return self._upstreams.refresh_policy(instance.target)

    async def send(self, instance: Instance, grant: Grant) -> "Sent":
        """Call the upstream within the lease, or not at all."""
        refresh = self._upstreams.refresh_policy(instance.target)
        began_s = self.monotonic()
        if _is_still_sending(grant, refresh):
            # Its next refresh says what is wanted now; a second call at once would undo the first.
            return Sent(Outcome.OK, refresh, None, began_s)
        left_s = grant.deadline_s - began_s
        if left_s < _LEAST_TO_CALL_S:
            return Sent(Outcome.UNAVAILABLE, refresh, began_s, began_s)
        outcome = await self._upstreams.send(
            instance.target, grant.key.chat, grant.op, timeout_s=min(self._timeout_s, left_s)
        )
        return Sent(outcome, refresh, began_s, self.monotonic())

    async def send_bare(self, instance: Instance, chat: Chat, state: State) -> Outcome:
        """Call the upstream without a lease: for a pause while Redis is away."""
        return await self._upstreams.send(instance.target, chat, state, timeout_s=self._timeout_s)


class Sent(NamedTuple):
    """One telling: its outcome, and when it began (None: not at all) and was answered, on the monotonic clock."""

    outcome: Outcome
    refresh: RefreshPolicy
    began_s: float | None
    answered_s: float

    def report(self, now_s: float) -> Report:
        """Say it as of now; the record counts from Redis' clock."""
        sent_ms_ago = None if self.began_s is None else in_ms(now_s - self.began_s)
        answered_ms_ago = in_ms(now_s - self.answered_s)
        return Report(self.outcome.settled, self.refresh, answered_ms_ago, sent_ms_ago, self.outcome.value)


NOBODY = Report("failed", RefreshPolicy(1.0, 1.0), 0, 0)
"""Nobody was called."""


def in_ms(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(seconds * 1000)


def _is_still_sending(grant: Grant, refresh: RefreshPolicy) -> bool:
    """Whether an upstream that takes one telling at a time is still busy with the one before."""
    if not refresh.one_at_a_time or grant.op is State.PAUSED or grant.sent_ms_ago is None:
        return False
    return grant.sent_ms_ago < refresh.refresh_s * 1000


_ERROR_OF_OUTCOME: dict[Outcome, type[GatewayError]] = {
    Outcome.NOT_CONNECTED: InstanceNotConnected,
    Outcome.NOT_READY: InstanceNotConnected,
    Outcome.UNKNOWN_NUMBER: InvalidNumber,
    Outcome.DOUBTED_NUMBER: InvalidNumber,
    Outcome.UNAVAILABLE: UpstreamUnavailable,
    Outcome.UNKNOWN: UpstreamSilent,
    Outcome.UNAUTHORIZED: UpstreamCredentialRefused,
    Outcome.SEALED: UpstreamCredentialSealed,
    Outcome.NOT_ALLOWED: UpstreamNotAllowed,
    Outcome.GARBLED: UpstreamRejected,
    Outcome.REJECTED: UpstreamRejected,
}
"""What an upstream's failure means to the caller (contract section 4): the one place that decides."""


def error_of(outcome: Outcome, state: str) -> GatewayError:
    """Return what a call's failure means to the caller, who wrote `state`."""
    return StateUnsupported(state) if outcome is Outcome.UNSUPPORTED else _ERROR_OF_OUTCOME[outcome]()
