"""Whose calls to upstreams fail in this process, and why: for people, who must know for whom and not only how many."""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from gateway.presence.model import Outcome, Target
from gateway.store.troubles import Trouble

LASTS_S = 300.0
"""So long after its last failure an instance is told of; and after a call that went well, it is told so."""

_MOST = 500
"""Instances that are remembered; those that failed last."""

_OF_THE_CALLER = {Outcome.UNKNOWN_NUMBER, Outcome.DOUBTED_NUMBER, Outcome.UNSUPPORTED}
"""What says nothing of the upstream: the caller asked for what cannot be."""


class Troubles:
    """Remembers failures, bounded in number and in time; where nothing fails it costs one look."""

    def __init__(self, is_open: Callable[[Target], bool], clock: Callable[[], float] = time.time) -> None:
        """Ask `is_open` whether an upstream is left alone; `clock` gives Unix seconds."""
        self._is_open = is_open
        self._clock = clock
        self._of: OrderedDict[str, tuple[Target, Trouble]] = OrderedDict()

    def note(self, target: Target, outcome: Outcome) -> None:
        """Note what became of one call."""
        if outcome is Outcome.OK:
            if target.instance_id in self._of:
                self._went_well(target)
        elif outcome not in _OF_THE_CALLER:
            self._failed(target, outcome)

    def now(self) -> list[Trouble]:
        """Return what failed lately, and forget what is long over."""
        self._forget()
        return [msgspec.structs.replace(one, is_open=self._is_open(target)) for target, one in self._of.values()]

    def _went_well(self, target: Target) -> None:
        _, known = self._of[target.instance_id]
        self._of[target.instance_id] = target, msgspec.structs.replace(known, ok_s=self._clock())

    def _failed(self, target: Target, outcome: Outcome) -> None:
        self._forget()
        now_s = self._clock()
        _, known = self._of.pop(target.instance_id, (None, None))
        failed, since_s = (known.failed, known.since_s) if known else (0, now_s)
        where = (target.account_id, target.instance_id, target.kind, target.url, target.session)
        self._of[target.instance_id] = target, Trouble(*where, outcome.value, failed + 1, since_s, now_s)
        if len(self._of) > _MOST:
            self._of.popitem(last=False)

    def _forget(self) -> None:
        """Forget whose last failure is long ago; they stand in the order of those."""
        oldest_s = self._clock() - LASTS_S
        while self._of and next(iter(self._of.values()))[1].last_s < oldest_s:
            self._of.popitem(last=False)
