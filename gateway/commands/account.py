"""`presence-gateway account`: tenants."""

from typing import Annotated, Literal

import typer

from gateway.commands.installation import with_account, with_services
from gateway.commands.manual import examples
from gateway.commands.names import Account, NewName
from gateway.commands.printing import Confirm, Json, confirmed, print_created, print_done, print_list
from gateway.tenants.views import AccountView
from gateway.wiring import Services

app = typer.Typer(
    help="Accounts: a tenant, whose token works on every instance it has.",
    no_args_is_help=True,
    epilog=examples(
        "presence-gateway account create acme",
        "presence-gateway account limits acme --per-minute 500",
        "presence-gateway account list",
    ),
)

_COLUMNS = ("name", "id", "status", "instances", "tokens", "per_minute", "creation_per_minute", "quota", "created")
"""Of what is shown, as a table; the rest is in the JSON."""

PerMinute = Annotated[
    int | None, typer.Option(min=1, help="Requests a minute for each of its tokens, instead of the setting.")
]
CreationPerMinute = Annotated[
    int | None, typer.Option(min=1, help="New instances a minute for each of its tokens, instead of the setting.")
]
AccountPerMinute = Annotated[
    int | None, typer.Option(min=0, help="Requests a minute over all its tokens, instead of the setting; 0: no limit.")
]
Quota = Annotated[int | None, typer.Option(min=0, help="Instances at the most, instead of the setting.")]
TokensQuota = Annotated[int | None, typer.Option(min=1, help="Tokens of its own at the most, instead of the setting.")]


@app.command(
    epilog=examples(
        "presence-gateway account create acme",
        "presence-gateway account create acme --per-minute 500 --json",
    )
)
def create(
    context: typer.Context,
    name: NewName,
    *,
    per_minute: PerMinute = None,
    creation_per_minute: CreationPerMinute = None,
    account_per_minute: AccountPerMinute = None,
    instances_quota: Quota = None,
    tokens_quota: TokensQuota = None,
    as_json: Json = False,
) -> None:
    """Make an account and its first token, which is shown this once."""
    created = with_services(
        context,
        lambda services: services.directory.create_account(
            name,
            per_minute=per_minute,
            creation_per_minute=creation_per_minute,
            account_per_minute=account_per_minute,
            instances_quota=instances_quota,
            tokens_quota=tokens_quota,
        ),
    )
    print_created("Account", created, as_json=as_json)


@app.command("list", epilog=examples("presence-gateway account list", "presence-gateway account list --json"))
def list_accounts(context: typer.Context, *, as_json: Json = False) -> None:
    """List every account."""
    shown = [_shown(account) for account in with_services(context, lambda services: services.directory.accounts())]
    empty = "No accounts yet; make one: presence-gateway account create NAME"
    print_list("accounts", shown, _COLUMNS, empty=empty, as_json=as_json)


@app.command(epilog=examples("presence-gateway account suspend acme"))
def suspend(context: typer.Context, account: Account, *, as_json: Json = False) -> None:
    """Refuse all of an account's tokens from their next request on; pauses that are owed still come."""
    print_done(f"Account {account} is suspended.", _set_status(context, account, "suspended"), as_json)


@app.command(epilog=examples("presence-gateway account resume acme"))
def resume(context: typer.Context, account: Account, *, as_json: Json = False) -> None:
    """Let a suspended account work again."""
    print_done(f"Account {account} works again.", _set_status(context, account, "active"), as_json)


def _set_status(context: typer.Context, account: str, status: Literal["active", "suspended"]) -> dict[str, str]:
    async def work(services: Services, account_id: str) -> dict[str, str]:
        await services.tenancy.set_status(account_id, status)
        return {"id": account_id, "status": status}

    return with_account(context, account, work)


@app.command(
    epilog=examples(
        "presence-gateway account limits acme --per-minute 500 --instances-quota 20",
        "# Back to the settings:",
        "presence-gateway account limits acme --reset",
    )
)
def limits(
    context: typer.Context,
    account: Account,
    *,
    per_minute: PerMinute = None,
    creation_per_minute: CreationPerMinute = None,
    account_per_minute: AccountPerMinute = None,
    instances_quota: Quota = None,
    tokens_quota: TokensQuota = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the settings for all that is not given.")] = False,
    as_json: Json = False,
) -> None:
    """Give an account limits of its own; what is not given stays as it is."""
    given = {
        "per_minute": per_minute,
        "creation_per_minute": creation_per_minute,
        "account_per_minute": account_per_minute,
        "instances_quota": instances_quota,
        "tokens_quota": tokens_quota,
    }
    figures = {name: figure for name, figure in given.items() if reset or figure is not None}

    async def work(services: Services, account_id: str) -> AccountView:
        if figures:
            await services.tenancy.set_limits(account_id, figures)
        return await services.directory.account(account_id)

    limited = with_account(context, account, work)
    own = {name: getattr(limited.limits, name) for name in given}
    told = ", ".join(f"{name} {'default' if figure is None else figure}" for name, figure in own.items())
    print_done(f"Account {account}: {told}.", _shown(limited), as_json)


@app.command(
    epilog=examples(
        "presence-gateway account delete acme",
        "# In a script, which nobody can ask:",
        "presence-gateway account delete acme --confirm acme",
    )
)
def delete(context: typer.Context, account: Account, *, confirm: Confirm = None, as_json: Json = False) -> None:
    """Delete an account with its instances and tokens. Pauses that are owed are dispatched now."""
    confirmed(account, confirm)

    async def work(services: Services, account_id: str) -> dict[str, str]:
        await services.removal.delete_account(await services.directory.account(account_id))
        return {"id": account_id, "status": "deleted"}

    print_done(f"Account {account} is deleted.", with_account(context, account, work), as_json)


def _shown(account: AccountView) -> dict[str, object]:
    return {
        "name": account.name,
        "id": account.id,
        "status": account.status,
        "instances": account.instances,
        "tokens": account.tokens,
        "per_minute": account.limits.per_minute,
        "creation_per_minute": account.limits.creation_per_minute,
        "quota": account.limits.instances_quota,
        "account_per_minute": account.limits.account_per_minute,
        "tokens_quota": account.limits.tokens_quota,
        "created": account.created_s,
    }
