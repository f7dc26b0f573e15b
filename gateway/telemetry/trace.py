"""W3C trace context: taken from a caller, carried through the queue, handed on to the upstream.

Without an exporter (the default) this is a header that is passed along, and costs next to nothing. `otel` puts an
exporter behind it.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from gateway.presence import ids

T = TypeVar("T")

HEADER = "traceparent"

Kind = Literal["server", "client", "consumer"]
Attribute = str | int | float | bool

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Trace:
    """Where we are in somebody's trace."""

    trace_id: str
    span_id: str
    flags: str = "00"

    @classmethod
    def parse(cls, header: str) -> "Trace | None":
        """Read a `traceparent`; None for what the specification tells receivers to ignore."""
        found = _SHAPE.fullmatch(header) if len(header) <= _LONGEST else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id, span_id, flags)

    @property
    def header(self) -> str:
        """The `traceparent` that says so."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> "Trace":
        """The next step of the same trace, under an id of its own."""
        return Trace(self.trace_id, ids.fresh(), self.flags)


class Span(Protocol):
    """One step of ours."""

    @property
    def trace(self) -> Trace | None:
        """Where this step is, or None where nobody traces."""
        ...

    def note(self, name: str, value: Attribute) -> None:
        """Say something about the step."""
        ...


Exporter = Callable[[str, Kind, Trace | None, dict[str, Attribute]], AbstractContextManager[Span]]
"""Times a block as a span, which it keeps; an exception that leaves it marks it as failed."""


@dataclass(frozen=True, slots=True)
class _Unkept:
    """A step of which nobody keeps a span; as a block it does nothing."""

    trace: Trace | None

    def note(self, name: str, value: Attribute) -> None:
        """Nobody keeps it."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, *failure: object) -> None:
        return None


_NOWHERE = _Unkept(None)
_here: ContextVar[Trace | None] = ContextVar("trace", default=None)
_exporters: list[Exporter] = []


def current() -> Trace | None:
    """Return where this task is in a trace, or None where it is in none."""
    return _here.get()


def outgoing() -> dict[str, str]:
    """Return the headers of a call that this task makes: the same trace under a new span id."""
    here = _here.get()
    if here is None:
        return {}
    # An exporter has made a span for this very call already.
    return {HEADER: (here if _exporters else here.child()).header}


@contextmanager
def exporting(exporter: Exporter) -> Iterator[None]:
    """Keep every span inside the block."""
    _exporters.append(exporter)
    try:
        yield
    finally:
        _exporters.remove(exporter)


def arrived(header: str, name: str, kind: Kind, **attributes: Attribute) -> AbstractContextManager[Span]:
    """Go on, inside the block, with the trace that a caller or a record handed us."""
    if not header and not _exporters:
        return _NOWHERE
    parent = Trace.parse(header) if header else None
    return _inside(_exporters[-1](name, kind, parent, attributes) if _exporters else _Unkept(parent))


def step(name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
    """Time a call that we make, where somebody traces what it belongs to."""
    if not _exporters:
        return _NOWHERE
    here = _here.get()
    return _Unkept(here) if here is None else _inside(_exporters[-1](name, "client", here, attributes))


def is_kept() -> bool:
    """Whether anybody keeps spans; where nobody does, the hot path leaves out what would only make none."""
    return bool(_exporters)


async def during(work: Awaitable[T], name: str, **attributes: Attribute) -> T:
    """Await work as a `step`."""
    with step(name, **attributes):
        return await work


@contextmanager
def _inside(opened: AbstractContextManager[Span]) -> Iterator[Span]:
    with opened as span:
        token = _here.set(span.trace)
        try:
            yield span
        finally:
            _here.reset(token)
