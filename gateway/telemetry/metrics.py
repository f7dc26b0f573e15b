"""Every metric, by name; `docs/metrics.md` says what each is for. Labels never name a tenant or a chat.

Doors count what the domain returns. The gauges of what all processes share (the backlog, Redis) are asked for when
somebody scrapes: see `gauges`. Each process has a port of its own, so nothing here is shared between processes.
"""

from functools import cache, partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from gateway.presence.model import Outcome

# When a series began is told by its process's start; a second series beside each is only a cost.
disable_created_metrics()  # type: ignore[no-untyped-call]


REGISTRY = CollectorRegistry()

_counter = partial(Counter, registry=REGISTRY)
_gauge = partial(Gauge, registry=REGISTRY)
_histogram = partial(Histogram, registry=REGISTRY)

_PASSING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_LATENESS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = _counter(
    "presence_http_requests", "Requests answered by the front door.", ["method", "route", "status"]
)
HTTP_DURATION = _histogram("presence_http_request_duration_seconds", "Time to answer a request.", ["route"])
PASSED_REQUESTS = _counter(
    "presence_passed_requests", "Requests for the upstream's other routes, by what was answered.", ["status"]
)
PASSED_DURATION = _histogram(
    "presence_passed_request_duration_seconds",
    "From such a request's head to the last byte of its answer.",
    buckets=_PASSING,
)
COMMANDS = _counter("presence_commands", "Presence commands, by what became of them.", ["state", "outcome"])
ENDS = _counter(
    "presence_ends",
    "Indicators that ended: by their time, a pause, a message, their natural end, or another in their place.",
    ["by"],
)
AUTH = _counter("presence_auth", "Authentications of callers.", ["result"])
RATE_LIMIT_DECISIONS = _counter("presence_rate_limit_decisions", "Decisions of the limiter.", ["decision"])
UPSTREAM_REQUESTS = _counter("presence_upstream_requests", "Calls to upstreams.", ["upstream", "op", "outcome"])
UPSTREAM_DURATION = _histogram(
    "presence_upstream_request_duration_seconds", "Time an upstream took to answer.", ["upstream"]
)
CREDENTIAL_REFUSED = _counter(
    "presence_upstream_credential_refused",
    "Calls that failed for their credential: the upstream refused it, or no key opens it.",
    ["upstream"],
)
CIRCUITS_OPEN = _gauge("presence_upstream_circuits_open", "Upstreams that this process leaves alone now.")
PAUSE_LATENESS = _histogram(
    "presence_pause_lateness_seconds",
    "How long after its time a promised pause reached the upstream.",
    ["trigger"],
    buckets=_LATENESS,
)
PAUSES = _counter("presence_pauses", "Promised pauses, by what became of them.", ["result"])
PAUSES_OWED = _gauge("presence_pauses_owed", "Chats that are owed a pause, in all processes.")
PAUSES_RETRYING = _gauge("presence_pauses_retrying", "Owed pauses that failed and are tried again, in all processes.")
OLDEST_OVERDUE = _gauge(
    "presence_pause_oldest_overdue_seconds",
    "How long ago the oldest pause, or refresh before it, was due that has not been delivered.",
)
REFRESHES = _counter("presence_refreshes", "Indicators re-sent while held.", ["outcome"])
QUEUE_DUE = _gauge("presence_queue_due_jobs", "Wake-ups that are due and that no worker has claimed.")
WORKER_LAST_POLL = _gauge("presence_worker_last_poll_timestamp_seconds", "When this worker last looked at its queue.")
WORKER_JOBS = _gauge("presence_worker_running_jobs", "Wake-ups under way in this worker.")
REDIS_UP = _gauge("presence_redis_up", "Whether Redis answered this process at the scrape.")
REDIS_ERRORS = _counter("presence_redis_errors", "Times Redis did not answer.")
REDIS_ROUND_TRIP = _gauge("presence_redis_round_trip_seconds", "How long Redis took to answer at the scrape.")
REDIS_PERSISTENCE_OK = _gauge(
    "presence_redis_persistence_ok",
    "Whether Redis' last write to disk succeeded; aof is 0 where there is no append-only file.",
    ["kind"],
)
REDIS_MEMORY = _gauge("presence_redis_memory_bytes", "Memory that Redis uses, or the fullest primary of a cluster.")
REDIS_MEMORY_LIMIT = _gauge("presence_redis_memory_limit_bytes", "Memory that Redis may use; 0 means no limit.")
LOST_LEASES = _counter("presence_lost_leases", "Calls that outlasted their lease; their records were repaired.")
EVENT_LOOP_LAG = _gauge(
    "presence_event_loop_lag_seconds", "How late the event loop ran a timer, at worst in the last 15 s."
)
BUILD_INFO = _gauge("presence_build_info", "Always 1; the labels tell the build and the role.", ["version", "role"])

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


def _remember_series() -> None:
    """Look every series up once: `labels` formats its values and takes a lock each time, and series are few."""
    for metric in list(globals().values()):
        if isinstance(metric, MetricWrapperBase):
            vars(metric)["labels"] = cache(metric.labels)


def _begin_at_zero() -> None:
    """Show what may happen before it happens: the first of a kind is an increase too, and may be the alarm."""
    for result in ("paused", "pause_failed", "abandoned"):
        PAUSES.labels(result)
    for by in ("time", "pause", "message", "natural", "replaced"):
        ENDS.labels(by)
    for trigger in ("due", "retry", "echo"):
        PAUSE_LATENESS.labels(trigger)
    for result in ("ok", "missing", "malformed", "unknown"):
        AUTH.labels(result)
    for decision in ("admitted", "refused"):
        RATE_LIMIT_DECISIONS.labels(decision)
    for outcome in Outcome:
        REFRESHES.labels(outcome)


_remember_series()
_begin_at_zero()
