"""Callers that Redis admitted a moment ago, so that a `pause` still gets through while Redis is away."""

import time
from typing import NamedTuple

from cachetools import FIFOCache

from gateway.presence.model import Instance
from gateway.tenants.admission import Admission

_SECONDS = 60.0
_MOST = 10_000
_ROOM = 10
"""Requests that a token had left, for it to be all but sure that it has one: other processes admit it too."""


class Known(NamedTuple):
    """A caller as they were last admitted, and until when (monotonic clock) that vouches for them."""

    admission: Admission
    instance: Instance
    until_s: float


class KnownCallers:
    """A bounded memory; who was admitted longest ago is forgotten first."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._known: FIFOCache[tuple[str, str], Known] = FIFOCache(_MOST)

    def remember(self, token_hash: str, name: str, admission: Admission, instance: Instance) -> None:
        """Keep a caller who was admitted to the instance of that name."""
        self._known[token_hash, name] = Known(admission, instance, time.monotonic() + _SECONDS)

    def vouch(self, token_hash: str, name: str) -> Instance | None:
        """Return whose the caller's commands will be, who is all but sure to be admitted; None where that is not so."""
        known = self._known.get((token_hash, name))
        if known is None or known.until_s < time.monotonic() or known.admission.quota.remaining < _ROOM:
            return None
        return known.instance

    def forget(self, token_hash: str, name: str) -> None:
        """Vouch for this caller no longer: they were refused."""
        self._known.pop((token_hash, name), None)

    def recall(self, token_hash: str, name: str) -> Known | None:
        """Return the caller, one request poorer; None once their time or their remembered quota is spent."""
        known = self._known.get((token_hash, name))
        if known is None or known.until_s < time.monotonic() or known.admission.quota.remaining < 1:
            return None
        quota = known.admission.quota._replace(remaining=known.admission.quota.remaining - 1)
        known = known._replace(admission=known.admission._replace(quota=quota))
        self._known[token_hash, name] = known
        return known
