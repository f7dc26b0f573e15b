"""Which sessions at upstreams fail, as each process says of its own calls every few seconds: one field for each."""

import time

import msgspec
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import command


class Trouble(msgspec.Struct, frozen=True):
    """Calls of one process for one instance that failed lately; instants are Unix seconds.

    Attributes:
        account_id: whose instance.
        instance_id: which.
        kind: the upstream's.
        url: where it is.
        session: the instance's name there.
        outcome: what became of the last call that failed.
        failed: how many calls failed since the first of them.
        since_s: when the first failed.
        last_s: when the last one did.
        ok_s: when a call last went well since then; None where none did.
        is_open: whether the circuit breaker leaves the upstream alone now.
    """

    account_id: str
    instance_id: str
    kind: str
    url: str
    session: str
    outcome: str
    failed: int
    since_s: float
    last_s: float
    ok_s: float | None = None
    is_open: bool = False


class _Said(msgspec.Struct, frozen=True):
    until_s: float
    troubles: list[Trouble]


class RedisTroubles:
    """What every process last said, until it would have said it again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def say(self, process: str, troubles: list[Trouble], *, lasts_s: float) -> None:
        """Say what one process finds, in the place of what it said before; no troubles take that back.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if troubles:
            said = msgspec.json.encode(_Said(time.time() + lasts_s, troubles))
            await command(self._redis, "HSET", keys.TROUBLES, process, said)
        else:
            await command(self._redis, "HDEL", keys.TROUBLES, process)

    async def all(self) -> list[Trouble]:
        """Return what is said now, of each instance in one; that of the dead is forgotten.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        flat = await command(self._redis, "HGETALL", keys.TROUBLES)
        said = {process: msgspec.json.decode(words, type=_Said) for process, words in flat.items()}
        now_s = time.time()
        dead = [process for process, one in said.items() if one.until_s < now_s]
        if dead:
            await command(self._redis, "HDEL", keys.TROUBLES, *dead)
        merged: dict[str, Trouble] = {}
        for one in said.values():
            for trouble in one.troubles if one.until_s >= now_s else ():
                known = merged.get(trouble.instance_id)
                merged[trouble.instance_id] = trouble if known is None else _both(known, trouble)
        return list(merged.values())


def _both(one: Trouble, other: Trouble) -> Trouble:
    """Add up what two processes say of an instance; the later failure names the outcome, and undoes what went well."""
    later = max(one, other, key=lambda trouble: trouble.last_s)
    well_s = max(one.ok_s or 0.0, other.ok_s or 0.0)
    return msgspec.structs.replace(
        later,
        failed=one.failed + other.failed,
        since_s=min(one.since_s, other.since_s),
        ok_s=well_s if well_s > later.last_s else None,
        is_open=one.is_open or other.is_open,
    )
