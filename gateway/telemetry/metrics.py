"""Every metric, by name; `docs/metrics.md` says what each is for. Labels never name a tenant or a chat.

Doors count what the domain returns. The gauges of what all processes share (the backlog, Redis) are asked for when
somebody scrapes: see `gauges`. Each process has a port of its own, so nothing here is shared between processes.
"""

from functools import cache

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

_PASSING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_LATENESS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Counter(
    "presence_http_requests", "Requests answered by the front door.", ["method", "route", "status"], registry=REGISTRY
)
HTTP_DURATION = Histogram(
    "presence_http_request_duration_seconds", "Time to answer a request.", ["route"], registry=REGISTRY
)
PASSED_REQUESTS = Counter(
    "presence_passed_requests",
    "Requests for the upstream's other routes, by what was answered.",
    ["status"],
    registry=REGISTRY,
)
PASSED_DURATION = Histogram(
    "presence_passed_request_duration_seconds",
    "From such a request's head to the last byte of its answer.",
    buckets=_PASSING,
    registry=REGISTRY,
)
COMMANDS = Counter(
    "presence_commands", "Presence commands, by what became of them.", ["state", "outcome"], registry=REGISTRY
)
ENDS = Counter(
    "presence_ends",
    "Indicators that ended: by their time, a pause, a message, their natural end, or another in their place.",
    ["by"],
    registry=REGISTRY,
)
AUTH = Counter("presence_auth", "Authentications of callers.", ["result"], registry=REGISTRY)
RATE_LIMIT_DECISIONS = Counter(
    "presence_rate_limit_decisions", "Decisions of the limiter.", ["decision"], registry=REGISTRY
)
UPSTREAM_REQUESTS = Counter(
    "presence_upstream_requests", "Calls to upstreams.", ["upstream", "op", "outcome"], registry=REGISTRY
)
UPSTREAM_DURATION = Histogram(
    "presence_upstream_request_duration_seconds", "Time an upstream took to answer.", ["upstream"], registry=REGISTRY
)
CREDENTIAL_REFUSED = Counter(
    "presence_upstream_credential_refused",
    "Calls that failed for their credential: the upstream refused it, or no key opens it.",
    ["upstream"],
    registry=REGISTRY,
)
CIRCUITS_OPEN = Gauge(
    "presence_upstream_circuits_open", "Upstreams that this process leaves alone now.", registry=REGISTRY
)
PAUSE_LATENESS = Histogram(
    "presence_pause_lateness_seconds",
    "How long after its time a promised pause reached the upstream.",
    ["trigger"],
    buckets=_LATENESS,
    registry=REGISTRY,
)
PAUSES = Counter("presence_pauses", "Promised pauses, by what became of them.", ["result"], registry=REGISTRY)
PAUSES_OWED = Gauge("presence_pauses_owed", "Chats that are owed a pause, in all processes.", registry=REGISTRY)
PAUSES_RETRYING = Gauge(
    "presence_pauses_retrying", "Owed pauses that failed and are tried again, in all processes.", registry=REGISTRY
)
OLDEST_OVERDUE = Gauge(
    "presence_pause_oldest_overdue_seconds",
    "How long ago the oldest pause, or refresh before it, was due that has not been delivered.",
    registry=REGISTRY,
)
REFRESHES = Counter("presence_refreshes", "Indicators re-sent while held.", ["outcome"], registry=REGISTRY)
QUEUE_DUE = Gauge("presence_queue_due_jobs", "Wake-ups that are due and that no worker has claimed.", registry=REGISTRY)
WORKER_LAST_POLL = Gauge(
    "presence_worker_last_poll_timestamp_seconds", "When this worker last looked at its queue.", registry=REGISTRY
)
WORKER_JOBS = Gauge("presence_worker_running_jobs", "Wake-ups under way in this worker.", registry=REGISTRY)
REDIS_UP = Gauge("presence_redis_up", "Whether Redis answered this process at the scrape.", registry=REGISTRY)
REDIS_ERRORS = Counter("presence_redis_errors", "Times Redis did not answer.", registry=REGISTRY)
REDIS_ROUND_TRIP = Gauge(
    "presence_redis_round_trip_seconds", "How long Redis took to answer at the scrape.", registry=REGISTRY
)
REDIS_PERSISTENCE_OK = Gauge(
    "presence_redis_persistence_ok",
    "Whether Redis' last write to disk succeeded; aof is 0 where there is no append-only file.",
    ["kind"],
    registry=REGISTRY,
)
REDIS_MEMORY = Gauge(
    "presence_redis_memory_bytes", "Memory that Redis uses, or the fullest primary of a cluster.", registry=REGISTRY
)
REDIS_MEMORY_LIMIT = Gauge(
    "presence_redis_memory_limit_bytes", "Memory that Redis may use; 0 means no limit.", registry=REGISTRY
)
LOST_LEASES = Counter(
    "presence_lost_leases", "Calls that outlasted their lease; their records were repaired.", registry=REGISTRY
)
EVENT_LOOP_LAG = Gauge(
    "presence_event_loop_lag_seconds",
    "How late the event loop ran a timer, at worst in the last 15 s.",
    registry=REGISTRY,
)
BUILD_INFO = Gauge(
    "presence_build_info", "Always 1; the labels tell the build and the role.", ["version", "role"], registry=REGISTRY
)

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
