"""`/admin/accounts`: tenants made, listed, limited, suspended, resumed and deleted."""

from dataclasses import asdict

from aiohttp import web

from gateway.api import bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin.gate import Visitor
from gateway.api.instances import secret
from gateway.process import envelope
from gateway.tenants.views import AccountFacts
from gateway.wiring import House


class AccountRoutes:
    """Accounts, for the operator; an account sees itself."""

    def __init__(self, house: House) -> None:
        """Work on the house's directory."""
        self._house = house
        self._body_timeout_s = house.settings.http.body_timeout_s

    async def session(self, request: web.Request, visitor: Visitor) -> web.Response:  # noqa: ARG002
        """Say who the visitor is."""
        if visitor.account_id is None:
            return envelope.success({"kind": "operator", "account": None})
        account = await self._house.directory.account(visitor.account_id)
        return envelope.success({"kind": "account", "account": {"id": account.id, "name": account.name}})

    async def list_accounts(self, request: web.Request, visitor: Visitor) -> web.Response:  # noqa: ARG002
        """List every account that the visitor may see."""
        found = await visible_accounts(self._house, visitor)
        return envelope.success({"accounts": [told_account(account) for account in found]})

    async def create(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Make an account and its first token, which is shown this once."""
        wanted = admin_bodies.new_account(await bodies.read(request, self._body_timeout_s))
        created = await self._house.directory.create_account(
            wanted.name, **wanted.figures, upstream=wanted.upstream, by=visitor.actor
        )
        account = await self._house.directory.account(created.id)
        return secret({"account": told_account(account), "token": created.token}, status=201)

    async def change(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:
        """Change an account's figures or upstream; null resets one."""
        change = admin_bodies.account_change(await bodies.read(request, self._body_timeout_s))
        if change.figures:
            await self._house.tenancy.set_limits(account.id, change.figures, by=visitor.actor)
        if change.upstream != "keep":
            await self._house.moves.set_upstream(account.id, change.upstream, by=visitor.actor)
        return await self._answer(account)

    async def suspend(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:  # noqa: ARG002
        """Refuse an account's tokens from their next request on; pauses that are owed still come."""
        await self._house.tenancy.set_status(account.id, "suspended", by=visitor.actor)
        return await self._answer(account)

    async def resume(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:  # noqa: ARG002
        """Let a suspended account work again."""
        await self._house.tenancy.set_status(account.id, "active", by=visitor.actor)
        return await self._answer(account)

    async def delete(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:
        """Delete an account with everything that it has, where its name is given again."""
        admin_bodies.confirm(await bodies.read(request, self._body_timeout_s), account.name)
        await self._house.removal.delete_account(account, by=visitor.actor)
        return envelope.success({"account": {"id": account.id, "name": account.name, "status": "deleted"}})

    async def _answer(self, account: AccountFacts) -> web.Response:
        return envelope.success({"account": told_account(await self._house.directory.account(account.id))})


async def visible_accounts(house: House, visitor: Visitor) -> list[AccountFacts]:
    """Return all accounts for the operator, for an account itself."""
    if visitor.account_id is None:
        return await house.directory.accounts()
    return [await house.directory.account(visitor.account_id)]


def told_account(account: AccountFacts) -> dict[str, object]:
    """Word an account; a figure of null is the settings'."""
    upstream = account.upstream
    return {
        "id": account.id,
        "name": account.name,
        "status": account.status,
        "created": account.created_s,
        **asdict(account.limits),
        "instances": account.instances,
        "tokens": account.tokens,
        "upstream": {"kind": upstream.kind} if upstream else None,
    }
