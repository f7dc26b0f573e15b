"""`/admin/.../tokens`: tokens listed, issued, rotated and revoked; a token itself is only ever shown when made."""

from aiohttp import web

from gateway.api import bodies, instance_bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin.answers import Ended, NewToken, Token, TokenRevoked, Tokens
from gateway.api.admin.gate import AdminCaller
from gateway.api.instances import secret
from gateway.process import envelope
from gateway.tenants.directory import Created
from gateway.tenants.views import AccountView, TokenView
from gateway.wiring import Services


class TokenRoutes:
    """The tokens of an account, those of its instances too."""

    def __init__(self, services: Services) -> None:
        """Work on the services's directory."""
        self._services = services
        self._body_timeout_s = services.settings.http.body_timeout_s

    async def list_tokens(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:  # noqa: ARG002
        """List an account's tokens, the oldest first."""
        found = await self._services.directory.tokens(account.id)
        return envelope.success(Tokens([told_token(token) for token in found]))

    async def issue(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:
        """Make one more token, with a minute of its own."""
        name = admin_bodies.label(await bodies.read(request, self._body_timeout_s))
        created = await self._services.directory.issue_token(account.id, name=name, by=caller.actor)
        return await self._made(created)

    async def rotate(self, request: web.Request, caller: AdminCaller, token: TokenView) -> web.Response:
        """Put a new token in the place of one; the old one lives for the grace time."""
        grace_s = instance_bodies.grace_s(await bodies.read(request, self._body_timeout_s))
        return await self._made(await self._services.tenancy.rotate_token(token, grace_s=grace_s, by=caller.actor))

    async def revoke(self, request: web.Request, caller: AdminCaller, token: TokenView) -> web.Response:  # noqa: ARG002
        """Make a token invalid from its next request on."""
        await self._services.directory.revoke_token(token.id, by=caller.actor)
        return envelope.success(TokenRevoked(Ended(token.id, "revoked")))

    async def _made(self, created: Created) -> web.Response:
        token = await self._services.directory.token(created.id)
        return secret(NewToken(told_token(token), created.token), status=201)


def told_token(token: TokenView) -> Token:
    """Word a token."""
    return Token(
        token.id,
        token.name,
        prefix=token.prefix,
        kind=token.kind,
        instance=token.instance_id or None,
        created=token.created_s,
        last_used=token.used_s,
        expires=token.expires_s,
    )
