"""The phone keeps ringing: an account that nothing is shown for any more is made unavailable, once.

Showing an indicator can make an account count as online, and its owner's phone stops notifying (contract section 6).
"""

from gateway.presence.model import Outcome
from gateway.presence.ports import Directory, RestingAccounts, Upstreams


class Quiet:
    """Tells upstreams that accounts are unavailable."""

    def __init__(
        self, resting: RestingAccounts, upstreams: Upstreams, directory: Directory, *, upstream_timeout_s: float
    ) -> None:
        """Wait so long for an upstream."""
        self._resting = resting
        self._upstreams = upstreams
        self._directory = directory
        self._upstream_timeout_s = upstream_timeout_s

    async def rest_due(self, partition: int) -> int:
        """Make unavailable whose time has come; returns how many were. Whoever dies here leaves them to the next.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        done = 0
        for instance_id in await self._resting.due(partition):
            outcome = await self._rest(instance_id)
            # What cannot be told at all is not told again.
            is_over = outcome in {None, Outcome.OK, Outcome.UNSUPPORTED, Outcome.NOT_CONNECTED}
            await self._resting.rested(instance_id, done=is_over)
            done += outcome is Outcome.OK
        return done

    async def _rest(self, instance_id: str) -> Outcome | None:
        instance = await self._directory.keeper(instance_id, await self._directory.latest_change())
        if instance is None:
            return None
        return await self._upstreams.rest(instance.target, timeout_s=self._upstream_timeout_s)
