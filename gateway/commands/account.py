"""`presence-gateway account`: tenants."""

from typing import Annotated

import typer

from gateway.commands.names import NewName
from gateway.commands.office import with_directory
from gateway.commands.printing import Json, examples, print_created, print_json, print_table

app = typer.Typer(help="Accounts: a tenant, whose token works on every instance it has.", no_args_is_help=True)

_COLUMNS = ("name", "id", "status", "per_minute")


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
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute for each of its tokens, instead of the setting.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an account and its first token, which is shown this once."""
    created = with_directory(context, lambda directory: directory.create_account(name, per_minute=per_minute))
    print_created("Account", created, {}, as_json=as_json)


@app.command("list", epilog=examples("presence-gateway account list --json"))
def list_accounts(context: typer.Context, *, as_json: Json = False) -> None:
    """List every account."""
    accounts = sorted(with_directory(context, lambda directory: directory.accounts()), key=lambda found: found["name"])
    if as_json:
        print_json({"accounts": accounts})
        return
    rows = [[account.get(column, "") for column in _COLUMNS] for account in accounts]
    print_table(_COLUMNS, rows, empty="No accounts yet; make one: presence-gateway account create NAME")
