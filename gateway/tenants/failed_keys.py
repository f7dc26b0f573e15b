"""Wrong keys of the operator's port, counted for each client address over the last minute."""

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.redis import Script
from gateway.tenants.admission import Guessing


class RedisGuesses:
    """An address that guessed too often is not listened to, right or wrong, until its minute is over."""

    def __init__(self, redis: Redis, *, per_minute: int) -> None:
        self._guess = Script(redis, "tenants/guess")
        self._per_minute = per_minute

    async def check(self, address: str) -> None:
        """Refuse an address that guessed too often.

        Raises:
            Guessing: it did.
            StoreUnavailable: Redis did not answer.
        """
        await self._ask(address, "")

    async def count(self, address: str) -> None:
        """Count a wrong key.

        Raises:
            Guessing: it was one too many.
            StoreUnavailable: Redis did not answer.
        """
        await self._ask(address, "1")

    async def _ask(self, address: str, counts: str) -> None:
        if int(await self._guess((keys.failures("admin:" + address),), ("", self._per_minute, counts))):
            raise Guessing(retry_after_s=60)
