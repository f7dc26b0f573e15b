"""Who may pass on the operator's port: the operator's key, or an account token for what is that account's.

A handler's signature is its policy here too: it is handed the `Visitor`, and the account, token or instance of the
path only where the visitor may know of it.
"""

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.api.context import CONTEXT
from gateway.api.guards import Gate
from gateway.api.sender import key_of
from gateway.presence.errors import (
    AccountNotFound,
    AdminOff,
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
from gateway.tenants.failed_keys import RedisGuesses
from gateway.tenants.views import AccountFacts, TokenFacts
from gateway.wiring import House

_ID = re.compile(r"[ait][0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """The operator, or an account; `account_id` is None for the operator."""

    account_id: str | None = None

    @property
    def is_operator(self) -> bool:
        """Whether this is the operator."""
        return self.account_id is None

    @property
    def actor(self) -> str:
        """What the audit log calls the visitor."""
        return self.account_id or OPERATOR

    def may_see(self, account_id: str) -> bool:
        """Whether what belongs to this account is there for the visitor."""
        return self.account_id in {None, account_id}


Answer = Awaitable[web.StreamResponse]
Handler = Callable[[web.Request], Answer]
VisitorHandler = Callable[[web.Request, Visitor], Answer]
AccountHandler = Callable[[web.Request, Visitor, AccountFacts], Answer]
TokenHandler = Callable[[web.Request, Visitor, TokenFacts], Answer]
InstanceHandler = Callable[[web.Request, Visitor, Instance], Answer]


class AdminGate:
    """Admits visitors. Wrong keys are limited for each address, since one key opens everything."""

    def __init__(self, house: House, gate: Gate, guesses: RedisGuesses) -> None:
        """Compare with the key of the house's settings; `gate` knows a client's address."""
        self._house = house
        self._gate = gate
        self._guesses = guesses
        key = house.settings.secrets.admin_key
        self._key_hash = house.hasher(key) if key else None

    def for_visitor(self, handler: VisitorHandler) -> Handler:
        """Guard a route that operator and accounts may use."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._visitor(request))

        return guarded

    def for_operator(self, handler: VisitorHandler) -> Handler:
        """Guard a route that is the operator's alone."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._operator(request))

        return guarded

    def for_account(
        self, handler: AccountHandler, *, operator_only: bool = False, limit_class: LimitClass = "global"
    ) -> Handler:
        """Guard a route whose path names an account; what an account changes there counts in `limit_class`."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            visitor = await (self._operator(request) if operator_only else self._visitor(request, limit_class))
            account_id = _id(request, "account")
            if account_id is None or not visitor.may_see(account_id):
                raise AccountNotFound
            return await handler(request, visitor, await self._house.directory.account(account_id))

        return guarded

    def for_token(self, handler: TokenHandler) -> Handler:
        """Guard a route whose path names a token by its id."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            visitor = await self._visitor(request)
            token_id = _id(request, "token")
            token = await self._house.directory.token(token_id) if token_id else None
            if token is None or not visitor.may_see(token.account_id):
                raise TokenNotFound
            return await handler(request, visitor, token)

        return guarded

    def for_instance(self, handler: InstanceHandler, *, operator_only: bool = False) -> Handler:
        """Guard a route whose path names an instance by its id."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            visitor = await (self._operator(request) if operator_only else self._visitor(request))
            instance_id = _id(request, "instance")
            instance = await self._house.directory.instance_by_id(instance_id) if instance_id else None
            if instance is None or not visitor.may_see(instance.account_id):
                raise InstanceNotFound
            return await handler(request, visitor, instance)

        return guarded

    async def _operator(self, request: web.Request) -> Visitor:
        visitor = await self._visitor(request)
        if not visitor.is_operator:
            raise OperatorOnly
        return visitor

    async def _visitor(self, request: web.Request, limit_class: LimitClass = "global") -> Visitor:
        if self._key_hash is None:
            raise AdminOff
        given = key_of(request)
        if given is None:
            raise MissingKey
        # Whoever holds the right key or token is let in however many wrong ones came from their address: nobody can
        # lock them out, and who guesses 256 bits gains nothing by it. Hashes of one length: the comparison's time
        # tells neither the key nor how long it is.
        given_hash = self._house.hasher(given)
        if hmac.compare_digest(given_hash, self._key_hash):
            return Visitor()
        principal = await self._principal(given, given_hash)
        if principal is None:
            await self._guesses.count(self._gate.address(request))
            raise InvalidKey
        request[CONTEXT].account = principal.account_id
        # Looks count apart, since pages poll; every change counts like any request.
        await self._spend(request, given_hash, "reading" if request.method == "GET" else limit_class)
        return Visitor(principal.account_id)

    async def _principal(self, given: str, given_hash: str) -> Principal | None:
        """Find the account whose token this is."""
        if not tokens.is_plausible(given):
            return None
        found = await self._house.directory.identify(given_hash)
        return found if found is not None and found.kind == "account" else None

    async def _spend(self, request: web.Request, token_hash: str, limit_class: LimitClass) -> None:
        try:
            admission = await self._house.admission.admit(token_hash, limit_class=limit_class)
        except InvalidToken:  # revoked this very moment
            raise InvalidKey from None
        request[CONTEXT].quota = admission.quota
        if admission.is_limited:
            raise RateLimited(retry_after_s=max(1, admission.quota.reset_s - int(time.time())))


def _id(request: web.Request, name: str) -> str | None:
    """Return an id of the path where it has the shape of one."""
    given = request.match_info[name]
    return given if _ID.fullmatch(given) else None
