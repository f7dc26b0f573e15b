"""What Redis says, read: records as text, one or many in one round trip, and the verdicts of our scripts."""

from collections.abc import Sequence

from redis.asyncio import Redis

from gateway.store.redis import Executor, command, store_errors


async def read_row(redis: Executor, key: str) -> dict[str, str]:
    """Return a record, {} where there is none.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    row = await command(redis, "HGETALL", key)
    return as_text(row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True)))


async def read_rows(redis: Redis, wanted: Sequence[str]) -> list[dict[str, str]]:
    """Return records in the order of their keys.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    async with store_errors(), redis.pipeline(transaction=False) as pipe:
        for key in wanted:
            pipe.hgetall(key)
        return [as_text(row) for row in await pipe.execute()]


def as_text(row: dict[bytes, bytes]) -> dict[str, str]:
    """Read a record's names and values."""
    return {name.decode(): value.decode() for name, value in row.items()}


def refuse(verdict: bytes, **errors: Exception | type[Exception]) -> None:
    """Raise the error by the name of a script's verdict; any other verdict is none."""
    error = errors.get(verdict.decode())
    if error is not None:
        raise error
