"""Every metric, by name. Doors count what the domain returns; labels never name a tenant or a chat."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_LATENESS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Counter(
    "presence_http_requests", "Requests answered by the front door.", ["method", "route", "status"], registry=REGISTRY
)
HTTP_DURATION = Histogram(
    "presence_http_request_duration_seconds", "Time to answer a request.", ["route"], registry=REGISTRY
)
COMMANDS = Counter(
    "presence_commands", "Presence commands, by what became of them.", ["state", "outcome"], registry=REGISTRY
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
PAUSE_LATENESS = Histogram(
    "presence_pause_lateness_seconds",
    "How long after its time a promised pause reached the upstream.",
    ["trigger"],
    buckets=_LATENESS,
    registry=REGISTRY,
)
PAUSES = Counter("presence_pauses", "Promised pauses, by what became of them.", ["result"], registry=REGISTRY)
PAUSES_OWED = Gauge("presence_pauses_owed", "Chats that wait for a refresh or a pause now.", registry=REGISTRY)
OLDEST_OVERDUE = Gauge(
    "presence_pause_oldest_overdue_seconds", "How long the oldest wake-up is overdue.", registry=REGISTRY
)
REFRESHES = Counter("presence_refreshes", "Indicators re-sent while held.", ["outcome"], registry=REGISTRY)
SWEEPER_REARMED = Counter(
    "presence_sweeper_rearmed", "Overdue records that the sweeper armed again.", registry=REGISTRY
)
QUEUE_DUE = Gauge("presence_queue_due_jobs", "Jobs in arq's queue whose time has come.", registry=REGISTRY)
WORKER_LAST_POLL = Gauge(
    "presence_worker_last_poll_timestamp_seconds", "When this worker last looked at its queue.", registry=REGISTRY
)
REDIS_ERRORS = Counter("presence_redis_errors", "Times Redis did not answer.", registry=REGISTRY)
LOST_LEASES = Counter(
    "presence_lost_leases", "Calls that outlasted their lease; their records were repaired.", registry=REGISTRY
)
EVENT_LOOP_LAG = Gauge(
    "presence_event_loop_lag_seconds", "How late the event loop ran its latest timer.", registry=REGISTRY
)
BUILD_INFO = Gauge("presence_build_info", "Always 1; the labels tell the build.", ["version"], registry=REGISTRY)
