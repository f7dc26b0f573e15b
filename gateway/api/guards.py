"""Who may pass: the token, then the quota, then the instance. A handler's signature is its policy.

`for_instance` hands a handler the `Caller` and the `Instance`: where it holds them, the token was checked, the quota
spent and the instance found to be the caller's. `for_token` hands over any `Caller`, `for_account` one whose token is
an account's, and `for_instance_of_account` such a one and the `Instance`. `for_entry` hands over an `Entry`, which
holds the caller and the instance as soon as they are admitted.
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from gateway.api.context import CONTEXT
from gateway.api.known_callers import KnownCallers
from gateway.api.sender import address_of, token_of
from gateway.presence.errors import (
    GatewayError,
    InstanceNotFound,
    InstanceTokenMismatch,
    InvalidAccountToken,
    InvalidToken,
    MissingToken,
    RateLimited,
    StoreUnavailable,
    TooManyFailures,
)
from gateway.presence.model import Instance, Principal, Quota
from gateway.tenants import tokens
from gateway.tenants.admission import Admission, LimitClass, RedisAdmission
from gateway.tenants.directory import RedisDirectory

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""An instance's name (contract section 5)."""


class Caller(NamedTuple):
    """An admitted caller; `store_is_down` where only memory vouches for them."""

    principal: Principal
    quota: Quota
    store_is_down: bool = False


class Entry(NamedTuple):
    """A caller at the door: admitted, or all but sure to be.

    Attributes:
        vouched: the instance as memory has it, of a caller whose admission is still on its way; else None.
        admitted: brings the caller and the instance, or raises what refuses them. To be awaited, whatever happens.
    """

    vouched: Instance | None
    admitted: Awaitable[tuple[Caller, Instance]]


EntryHandler = Callable[[web.Request, Entry], Awaitable[web.StreamResponse]]
CallerHandler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
InstanceHandler = Callable[[web.Request, Caller, Instance], Awaitable[web.StreamResponse]]


class Gate:
    """Admits requests. One object for the process."""

    def __init__(
        self,
        hasher: tokens.TokenHasher,
        admission: RedisAdmission,
        directory: RedisDirectory,
        *,
        trusted_proxies: int = 0,
        failures_per_minute: int = 300,
    ) -> None:
        """Trust the last `trusted_proxies` entries of `X-Forwarded-For` to name the client's address."""
        self._hasher = hasher
        self._admission = admission
        self._directory = directory
        self._trusted_proxies = trusted_proxies
        self._known = KnownCallers()
        self._malformed = _Failures(failures_per_minute)

    def for_instance(self, handler: InstanceHandler) -> "Handler":
        """Guard a route whose path names an instance that the caller must own."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            token_hash, name = self._token_hash(request), _name(request)
            asking = self._admission.admit(token_hash, instance_name=name, address=self.address(request))
            caller, instance = await self._enter(request, asking, token_hash, name)
            return await handler(request, caller, instance)

        return guarded

    def for_entry(self, handler: EntryHandler) -> "Handler":
        """Guard a route as `for_instance` does, but let it begin what can be undone while the caller is admitted."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            token_hash, name = self._token_hash(request), _name(request)
            vouched = self._known.vouch(token_hash, name)
            asking = self._admission.admit(token_hash, instance_name=name, address=self.address(request))
            entering = self._enter(request, asking, token_hash, name)
            return await handler(request, Entry(vouched, entering if vouched else _ready(await entering)))

        return guarded

    def for_events(self, handler: InstanceHandler) -> "Handler":
        """Guard a route that takes what an instance's upstream reports: under a limit of its own."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            admission = await self._admission.admit(
                self._token_hash(request),
                instance_name=_name(request),
                limit_class="events",
                address=self.address(request),
            )
            self._note(request, admission)
            return await handler(request, _caller(admission), await self._instance(admission))

        return guarded

    def for_instance_of_account(self, handler: InstanceHandler) -> "Handler":
        """Guard a route whose path names an instance of the account whose token this must be."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            admission = await self._admit_account(request, "global", _name(request))
            return await handler(request, _caller(admission), await self._instance(admission))

        return guarded

    def for_account(self, handler: CallerHandler, *, limit_class: LimitClass = "global") -> "Handler":
        """Guard a route that only an account's token opens."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, _caller(await self._admit_account(request, limit_class)))

        return guarded

    def for_token(self, handler: CallerHandler) -> "Handler":
        """Guard a route that any valid token opens."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            admission = await self._admission.admit(self._token_hash(request), address=self.address(request))
            self._note(request, admission)
            return await handler(request, _caller(admission))

        return guarded

    async def _admit_account(self, request: web.Request, limit_class: LimitClass, name: str = "") -> Admission:
        admission = await self._admission.admit(
            self._token_hash(request), instance_name=name, limit_class=limit_class, address=self.address(request)
        )
        self._note(request, admission, account_only=True)
        return admission

    async def _enter(
        self, request: web.Request, asking: Awaitable[Admission], token_hash: str, name: str
    ) -> tuple[Caller, Instance]:
        try:
            admission = await asking
            self._note(request, admission)
            instance = await self._instance(admission)
        except StoreUnavailable:
            return self._enter_from_memory(request, token_hash, name)
        except GatewayError:
            self._known.forget(token_hash, name)
            raise
        self._known.remember(token_hash, name, admission, instance)
        return _caller(admission), instance

    def _enter_from_memory(self, request: web.Request, token_hash: str, name: str) -> tuple[Caller, Instance]:
        known = self._known.recall(token_hash, name)
        if known is None:
            raise StoreUnavailable
        self._note(request, known.admission)
        return _caller(known.admission, store_is_down=True), known.instance

    def _token_hash(self, request: web.Request) -> str:
        token, notes = token_of(request), request[CONTEXT]
        if token is None:
            notes.auth_result = "missing"
            raise MissingToken
        if not tokens.is_plausible(token):
            # No such token can exist, so Redis need not be asked, nor count.
            notes.auth_result = "malformed"
            self._malformed.count(self.address(request))
            raise InvalidToken
        notes.auth_result = "unknown"
        return self._hasher(token)

    def _note(self, request: web.Request, admission: Admission, *, account_only: bool = False) -> None:
        """Leave what the answer's headers and the log line need; 401 goes before 429 (contract section 3)."""
        notes = request[CONTEXT]
        notes.auth_result, notes.quota, notes.account = "ok", admission.quota, admission.principal.account_id
        if account_only and admission.principal.kind != "account":
            raise InvalidAccountToken
        if admission.is_limited:
            raise RateLimited(retry_after_s=max(1, admission.quota.reset_s - int(time.time())))

    async def _instance(self, admission: Admission) -> Instance:
        """Find the caller's instance, or refuse in a way that tells nothing about anybody else's."""
        own = admission.principal.instance_id
        if own is not None and own != admission.instance_id:
            raise InstanceTokenMismatch
        instance = await self._directory.instance(admission.instance_id, admission.instance_version)
        if instance is None:
            raise InstanceNotFound
        return instance

    def address(self, request: web.Request) -> str:
        """Return the address on which this client's failures are counted."""
        return address_of(request, trusted_proxies=self._trusted_proxies)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _name(request: web.Request) -> str:
    """Return the instance's name of the path, '' for one that no instance can have."""
    name = request.match_info["instance"]
    return name if NAME.fullmatch(name) else ""


def _caller(admission: Admission, *, store_is_down: bool = False) -> Caller:
    return Caller(admission.principal, admission.quota, store_is_down)


async def _ready(entered: tuple[Caller, Instance]) -> tuple[Caller, Instance]:
    return entered


class _Failures:
    """Malformed tokens by client address, in this process's memory, in whole minutes."""

    _MOST = 10_000

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._of: dict[str, int] = {}

    def count(self, address: str) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute or len(self._of) >= self._MOST:
            self._minute, self._of = minute, {}
        self._of[address] = self._of.get(address, 0) + 1
        if self._of[address] > self._per_minute:
            raise TooManyFailures(retry_after_s=60)
