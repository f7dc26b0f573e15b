"""Admission in one round trip: token to principal, the sliding-log limit, and the instance that is meant."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, NamedTuple

from gateway.presence.errors import InvalidToken, TooManyFailures
from gateway.presence.model import Principal, Quota
from gateway.store import keys
from gateway.store.redis import Executor, Script
from gateway.tenants.refusals import Refusals, Refused

LimitClass = Literal["global", "creation", "reading", "events"]

_SETTING_OF_CLASS: dict[LimitClass, str] = {
    "global": "per_minute",
    "creation": "creation_per_minute",
    "reading": "reading_per_minute",
    "events": "events_per_minute",
}


class Admission(NamedTuple):
    """An authenticated request: who, what is left, and the instance they named ('' where they have none such)."""

    principal: Principal
    quota: Quota
    is_limited: bool
    instance_id: str
    instance_version: str


class RedisAdmission:
    """Decides with Redis' own clock, so that every process and machine shares one count.

    The log is exact: a stamp for every admitted request, dropped when it has left the last 60 seconds. A refusal
    leaves no stamp, so it pushes nothing further away.
    """

    def __init__(
        self,
        redis: Executor,
        *,
        per_minute: int,
        creation_per_minute: int,
        reading_per_minute: int = 600,
        events_per_minute: int = 1200,
        account_per_minute: int = 0,
        global_per_minute: int = 0,
        failures_per_minute: int = 300,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        self._admit = Script(redis, "tenants/admit")
        self._limits: dict[LimitClass, int] = {
            "global": per_minute,
            "creation": creation_per_minute,
            "reading": reading_per_minute,
            "events": events_per_minute,
        }
        self._account_per_minute = account_per_minute
        self._global_per_minute = global_per_minute
        self._failures_per_minute = failures_per_minute
        self._clock_us = clock_us
        self._limited: Refusals[Admission] = Refusals(redis)
        self._guessing: Refusals[bool] = Refusals(redis)

    def admit(
        self,
        token_hash: str,
        *,
        instance_name: str = "",
        limit_class: LimitClass = "global",
        address: str = "",
    ) -> Coroutine[Any, Any, Admission]:
        """Authenticate and count one request, which is under way before anybody awaits it.

        Args:
            token_hash: the HMAC of the caller's token.
            instance_name: the instance of the path, or ''.
            limit_class: which limit counts.
            address: the client's address, on which unknown tokens are counted.

        Raises:
            InvalidToken: unknown, revoked or expired, or the account is suspended.
            TooManyFailures: the same, from an address that sent too many of them.
            StoreUnavailable: Redis did not answer.
        """
        if self._limited.holds((token_hash, limit_class)) or self._guessing.holds((token_hash, address)):
            return self._refuse_again(token_hash, instance_name, limit_class, address)
        return self._ask(token_hash, instance_name, limit_class, address)

    async def _refuse_again(
        self, token_hash: str, instance_name: str, limit_class: LimitClass, address: str
    ) -> Admission:
        """Say what was said before, while that holds."""
        asked_s = self._monotonic()
        limited = await self._limited.recall((token_hash, limit_class), asked_s)
        if limited is not None:
            return limited
        if await self._guessing.recall((token_hash, address), asked_s):
            raise TooManyFailures(retry_after_s=60)
        return await self._ask(token_hash, instance_name, limit_class, address)

    def _ask(
        self, token_hash: str, instance_name: str, limit_class: LimitClass, address: str
    ) -> Coroutine[Any, Any, Admission]:
        asked_s = self._monotonic()
        where = (
            keys.token(token_hash),
            keys.window(token_hash, limit_class),
            keys.failures(address),
            keys.window("all", limit_class),
        )
        words = (
            "" if self._clock_us is None else self._clock_us(),
            instance_name,
            self._limits[limit_class],
            _SETTING_OF_CLASS[limit_class],
            *self._shared_limits(limit_class),
            self._failures_per_minute,
        )
        return self._read(self._admit(where, words), asked_s, (token_hash, limit_class), (token_hash, address))

    async def _read(self, asking: Awaitable[Any], asked_s: float, limited: Refused, guessing: Refused) -> Admission:
        verdict, *rest = await asking
        if verdict == b"unknown":
            raise InvalidToken
        if verdict == b"guessing":
            stays_ms, change = rest
            self._guessing.remember(guessing, True, until_s=asked_s + stays_ms / 1000, change=change)
            raise TooManyFailures(retry_after_s=60)
        limit, remaining, reset_s, kind, account_id, own, instance_id, found, stays_ms, change = rest
        admission = Admission(
            Principal("account" if kind == b"account" else "instance", account_id.decode(), own.decode() or None),
            Quota(limit, remaining, reset_s),
            verdict == b"limited",
            instance_id.decode(),
            found.decode(),
        )
        if admission.is_limited:
            until_s = asked_s + stays_ms / 1000
            self._limited.remember(limited, admission, until_s=until_s, change=change)
        return admission

    def _shared_limits(self, limit_class: LimitClass) -> tuple[int, str, int]:
        """Return the limit over an account's tokens, what its own is called, and the limit over everybody's."""
        if limit_class != "global":
            return 0, "", 0
        return self._account_per_minute, "account_per_minute", self._global_per_minute

    def _monotonic(self) -> float:
        return time.monotonic() if self._clock_us is None else self._clock_us() / 1e6
