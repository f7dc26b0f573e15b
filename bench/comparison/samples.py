"""What was measured, as values: percentiles, one measurement of a load, one of lateness."""

import math
from collections.abc import Sequence
from statistics import median

import msgspec

SHARES = (1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0)
"""The percentiles that are kept: enough to draw the curve, and few."""


class Load(msgspec.Struct, kw_only=True):
    """One measurement of one stack under load."""

    what: str
    stack: str
    round: int
    seconds: float
    requests: int
    refused: int
    broken: int
    latency_ms: dict[float, float]
    cpu_s: dict[str, float]
    redis: dict[str, float]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Answers for each CPU second of the gateway's processes."""
        return self.requests / max(self.cpu_s["gateway"], 1e-9)


class Lateness(msgspec.Struct, kw_only=True):
    """How late pauses were in one run of a worker, in milliseconds."""

    what: str
    stack: str
    round: int
    due: int
    arrived: int
    early: int
    late_ms: dict[float, float]
    curve_ms: list[float]
    """At every half percent, for the plot."""
    cpu_s: dict[str, float]
    seconds: float = 0.0
    """For how long that CPU was counted, quiet seconds before the first was due included."""


class Memory(msgspec.Struct, kw_only=True):
    """What owed pauses take in Redis."""

    owed: int
    bytes_each: float
    seconds: float


class Figure(msgspec.Struct, kw_only=True):
    """One more figure, and what it was measured over."""

    what: str
    over: str
    value: float
    unit: str


class Prediction(msgspec.Struct, kw_only=True):
    """The CPU seconds that the sum of single costs says a mixed run takes, and those that it took."""

    role: str
    over: str
    predicted_s: float
    measured_s: float


class Results(msgspec.Struct, kw_only=True):
    """A whole run."""

    machine: dict[str, str]
    loads: list[Load] = []
    lateness: list[Lateness] = []
    memory: list[Memory] = []
    figures: list[Figure] = []
    predictions: list[Prediction] = []
    left_out: list[str] = []


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` percent of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def percentiles(values: Sequence[float]) -> dict[float, float]:
    """Return the percentiles of `SHARES`."""
    ordered = sorted(values)
    return {share: percentile(ordered, share) for share in SHARES} if ordered else {}


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the median, and the least and the most where there are several."""
    if not values:
        return "-"
    middle = f"{median(values):,.{digits}f}"
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})" if len(values) > 1 else middle
