"""What of an installation needs a person, in sentences; each has its page in docs/operations.md."""

from collections.abc import Collection, Iterator

from gateway.telemetry.gauges import Health

_OVERDUE_S = 5.0
"""What the alert waits for, too: as long as a lease, after which what a dead worker held is anybody's."""


def problems(health: Health, roles: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with Redis, the backlog, and the roles that run, worst first."""
    if "worker" not in roles:
        yield "no worker runs: nothing sends the pauses that are owed"
    if health.backlog.oldest_overdue_s > _OVERDUE_S:
        yield f"the oldest pause is overdue by {health.backlog.oldest_overdue_s:.0f} s"
    if not health.aof_ok:
        yield "Redis does not write its append-only file: promises would not survive it"
    if not health.rdb_ok:
        yield "Redis' last snapshot failed"
    if "gateway" not in roles:
        yield "no gateway runs"
