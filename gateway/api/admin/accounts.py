"""`/admin/accounts`: tenants made, listed, limited, suspended, resumed and deleted."""

from dataclasses import asdict

from aiohttp import web

from gateway.api import bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin.answers import (
    Account,
    AccountDeleted,
    Accounts,
    EndedByName,
    Named,
    NewAccount,
    OneAccount,
    Session,
    ToldKind,
)
from gateway.api.admin.gate import AdminCaller, named_account
from gateway.api.instances import secret
from gateway.process import envelope
from gateway.tenants.views import AccountView
from gateway.wiring import Services


class AccountRoutes:
    """Accounts, for the operator; an account sees itself."""

    def __init__(self, services: Services) -> None:
        """Work on the services's directory."""
        self._services = services
        self._body_timeout_s = services.settings.http.body_timeout_s

    async def session(self, request: web.Request, caller: AdminCaller) -> web.Response:  # noqa: ARG002
        """Say who the caller is."""
        if caller.account_id is None:
            return envelope.success(Session("operator", None))
        account = await self._services.directory.account(caller.account_id)
        return envelope.success(Session("account", Named(account.id, account.name)))

    async def list_accounts(self, request: web.Request, caller: AdminCaller) -> web.Response:  # noqa: ARG002
        """List every account that the caller may see."""
        found = await visible_accounts(self._services, caller)
        return envelope.success(Accounts([told_account(account) for account in found]))

    async def create(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Make an account and its first token, which is shown this once."""
        wanted = admin_bodies.new_account(await bodies.read(request, self._body_timeout_s))
        created = await self._services.directory.create_account(
            wanted.name, **wanted.figures, upstream=wanted.upstream, by=caller.actor
        )
        account = await self._services.directory.account(created.id)
        return secret(NewAccount(told_account(account), created.token), status=201)

    async def change(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:
        """Change an account's figures or upstream; null resets one."""
        change = admin_bodies.account_change(await bodies.read(request, self._body_timeout_s))
        if change.figures:
            await self._services.tenancy.set_limits(account.id, change.figures, by=caller.actor)
        if change.upstream != "keep":
            await self._services.moves.set_upstream(account.id, change.upstream, by=caller.actor)
        return await self._answer(account)

    async def suspend(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:  # noqa: ARG002
        """Refuse an account's tokens from their next request on; pauses that are owed still come."""
        await self._services.tenancy.set_status(account.id, "suspended", by=caller.actor)
        return await self._answer(account)

    async def resume(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:  # noqa: ARG002
        """Let a suspended account work again."""
        await self._services.tenancy.set_status(account.id, "active", by=caller.actor)
        return await self._answer(account)

    async def delete(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:
        """Delete an account with everything that it has, where its name is given again."""
        admin_bodies.confirm(await bodies.read(request, self._body_timeout_s), account.name)
        await self._services.removal.delete_account(account, by=caller.actor)
        return envelope.success(AccountDeleted(EndedByName(account.id, account.name)))

    async def _answer(self, account: AccountView) -> web.Response:
        return envelope.success(OneAccount(told_account(await self._services.directory.account(account.id))))


async def visible_accounts(services: Services, caller: AdminCaller) -> list[AccountView]:
    """Return all accounts for the operator, for an account itself."""
    if caller.account_id is None:
        return await services.directory.accounts()
    return [await services.directory.account(caller.account_id)]


async def chosen_accounts(services: Services, request: web.Request, caller: AdminCaller) -> list[AccountView]:
    """Return the account of `?account=`, or all that the caller may see.

    Raises:
        AccountNotFound: there is none of that id, as far as the caller may know.
    """
    wanted = request.query.get("account")
    if not wanted:
        return await visible_accounts(services, caller)
    return [await named_account(services.directory, caller, wanted)]


def told_account(account: AccountView) -> Account:
    """Word an account."""
    return Account(
        account.id,
        account.name,
        status=account.status,
        created=account.created_s,
        **asdict(account.limits),
        instances=account.instances,
        tokens=account.tokens,
        upstream=ToldKind(account.upstream.kind) if account.upstream else None,
    )
