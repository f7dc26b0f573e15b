"""Who may pass on the operator's port: the operator's key, or an account token for what is that account's.

A handler's signature is its policy here too: it is handed the `AdminCaller`, and the account, token or instance of the
path only where the caller may know of it.
"""

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.api.context import CONTEXT
from gateway.api.guards import NAME
from gateway.api.sender import address_of, key_of
from gateway.presence.errors import (
    AccountNotFound,
    AdminOff,
    GatewayError,
    InstanceNotFound,
    InvalidKey,
    InvalidToken,
    MissingKey,
    OperatorOnly,
    RateLimited,
    TokenNotFound,
)
from gateway.presence.model import Instance, Principal
from gateway.tenants import tokens
from gateway.tenants.admission import LimitClass
from gateway.tenants.audit import OPERATOR
from gateway.tenants.directory import RedisDirectory
from gateway.tenants.failed_keys import FailedKeyLimiter
from gateway.tenants.views import AccountView, TokenView
from gateway.wiring import Services

_ID = re.compile(r"[it][0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class AdminCaller:
    """The operator, or an account; `account_id` is None for the operator."""

    account_id: str | None = None

    @property
    def is_operator(self) -> bool:
        """Whether this is the operator."""
        return self.account_id is None

    @property
    def actor(self) -> str:
        """What the audit log calls the caller."""
        return self.account_id or OPERATOR

    def may_see(self, account_id: str) -> bool:
        """Whether what belongs to this account is there for the caller."""
        return self.account_id in {None, account_id}


Answer = Awaitable[web.StreamResponse]
Handler = Callable[[web.Request], Answer]
CallerHandler = Callable[[web.Request, AdminCaller], Answer]
AccountHandler = Callable[[web.Request, AdminCaller, AccountView], Answer]
TokenHandler = Callable[[web.Request, AdminCaller, TokenView], Answer]
InstanceHandler = Callable[[web.Request, AdminCaller, Instance], Answer]


class AdminGate:
    """Admits visitors. Wrong keys are limited for each address, since one key opens everything."""

    def __init__(self, services: Services, guesses: FailedKeyLimiter) -> None:
        """Compare with the key of the services's settings."""
        self._services = services
        self._guesses = guesses
        key = services.settings.secrets.admin_key
        self._key_hash = services.hasher(key) if key else None

    def for_caller(self, handler: CallerHandler) -> Handler:
        """Guard a route that operator and accounts may use."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._admit(request))

        return guarded

    def for_operator(self, handler: CallerHandler) -> Handler:
        """Guard a route that is the operator's alone."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._admit(request, operator_only=True))

        return guarded

    def for_account(
        self, handler: AccountHandler, *, operator_only: bool = False, limit_class: LimitClass = "global"
    ) -> Handler:
        """Guard a route whose path names an account; what an account changes there counts in `limit_class`."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = await self._admit(request, operator_only=operator_only, limit_class=limit_class)
            account = await named_account(self._services.directory, caller, request.match_info["account"])
            return await handler(request, caller, account)

        return guarded

    def for_token(self, handler: TokenHandler) -> Handler:
        """Guard a route whose path names a token by its id."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = await self._admit(request)
            token = await self._services.directory.token(_id(request, "token", TokenNotFound))
            if not caller.may_see(token.account_id):
                raise TokenNotFound
            return await handler(request, caller, token)

        return guarded

    def for_instance(self, handler: InstanceHandler, *, operator_only: bool = False) -> Handler:
        """Guard a route whose path names an instance by its id."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = await self._admit(request, operator_only=operator_only)
            instance = await self._services.directory.instance_by_id(_id(request, "instance", InstanceNotFound))
            if not caller.may_see(instance.account_id):
                raise InstanceNotFound
            return await handler(request, caller, instance)

        return guarded

    async def _admit(
        self, request: web.Request, *, operator_only: bool = False, limit_class: LimitClass = "global"
    ) -> AdminCaller:
        caller = await self._caller(request, limit_class)
        if operator_only and not caller.is_operator:
            raise OperatorOnly
        return caller

    async def _caller(self, request: web.Request, limit_class: LimitClass) -> AdminCaller:
        if self._key_hash is None:
            raise AdminOff
        given = key_of(request)
        if given is None:
            raise MissingKey
        # Whoever holds the right key or token is let in however many wrong ones came from their address: nobody can
        # lock them out, and who guesses 256 bits gains nothing by it. Hashes of one length: the comparison's time
        # tells neither the key nor how long it is.
        given_hash = self._services.hasher(given)
        if hmac.compare_digest(given_hash, self._key_hash):
            return AdminCaller()
        principal = await self._principal(given, given_hash)
        if principal is None:
            trusted_proxies = self._services.settings.admin.trusted_proxies
            await self._guesses.count(address_of(request, trusted_proxies=trusted_proxies))
            raise InvalidKey
        request[CONTEXT].account = principal.account_id
        # Looks count apart, since pages poll; every change counts like any request.
        await self._spend(request, given_hash, "reading" if request.method == "GET" else limit_class)
        return AdminCaller(principal.account_id)

    async def _principal(self, given: str, given_hash: str) -> Principal | None:
        """Find the account whose token this is."""
        if not tokens.is_plausible(given):
            return None
        found = await self._services.directory.identify(given_hash)
        return found if found is not None and found.kind == "account" else None

    async def _spend(self, request: web.Request, token_hash: str, limit_class: LimitClass) -> None:
        try:
            admission = await self._services.admission.admit(token_hash, limit_class=limit_class)
        except InvalidToken:  # revoked this very moment
            raise InvalidKey from None
        request[CONTEXT].quota = admission.quota
        if admission.is_limited:
            raise RateLimited(retry_after_s=max(1, admission.quota.reset_s - int(time.time())))


async def named_account(directory: RedisDirectory, caller: AdminCaller, given: str) -> AccountView:
    """Return the account of that name or id; an account finds itself, and looks for no other.

    Raises:
        AccountNotFound: there is none, as far as the caller may know.
    """
    if not NAME.fullmatch(given):
        raise AccountNotFound
    if caller.account_id is None:
        return await directory.account(await directory.find_account(given))
    own = await directory.account(caller.account_id)
    if given not in {own.id, own.name}:
        raise AccountNotFound
    return own


def _id(request: web.Request, name: str, unknown: type[GatewayError]) -> str:
    """Return an id of the path; what has not the shape of one is `unknown`."""
    given = request.match_info[name]
    if not _ID.fullmatch(given):
        raise unknown
    return given
