"""`presence-gateway token`: an account's tokens issued, listed, rotated and revoked."""

from typing import Annotated

import typer

from gateway.commands.installation import with_account, with_services
from gateway.commands.manual import examples
from gateway.commands.names import Account
from gateway.commands.printing import Json, print_created, print_done, print_list
from gateway.tenants.changes import MAX_GRACE_S
from gateway.tenants.directory import Created
from gateway.tenants.views import TokenView
from gateway.wiring import Services

app = typer.Typer(
    help="Tokens: issue more for an account, list, rotate and revoke them.",
    no_args_is_help=True,
    epilog=examples(
        "presence-gateway token issue acme --name crm",
        "presence-gateway token list acme",
        "presence-gateway token rotate t0123456789ab --grace 3600",
    ),
)

_COLUMNS = ("id", "name", "kind", "prefix", "created", "last_used", "expires")

TokenId = Annotated[str, typer.Argument(metavar="ID", help="The id that it was issued with; not the token.")]


@app.command(epilog=examples("presence-gateway token issue acme --name crm"))
def issue(
    context: typer.Context,
    account: Account,
    *,
    name: Annotated[str, typer.Option(help="Whom it is for, so that you know later.")] = "",
    as_json: Json = False,
) -> None:
    """Issue one more account token, with a minute of its own; it is shown this once."""
    created = with_account(context, account, lambda services, owner: services.directory.issue_token(owner, name=name))
    print_created("Token", created, as_json=as_json)


@app.command("list", epilog=examples("presence-gateway token list acme"))
def list_tokens(context: typer.Context, account: Account, *, as_json: Json = False) -> None:
    """List an account's tokens and those of its instances; never a token itself."""
    found = with_account(context, account, lambda services, owner: services.directory.tokens(owner))
    shown = [_shown(token) for token in found]
    empty = f"No tokens; issue one: presence-gateway token issue {account}"
    print_list("tokens", shown, _COLUMNS, empty=empty, as_json=as_json)


@app.command(epilog=examples("presence-gateway token rotate t0123456789ab --grace 3600"))
def rotate(
    context: typer.Context,
    token_id: TokenId,
    *,
    grace: Annotated[
        int, typer.Option(min=0, max=MAX_GRACE_S, help="Seconds for which the old token stays valid.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Put a new token in the place of one; the new one is shown this once."""

    async def work(services: Services) -> Created:
        return await services.tenancy.rotate_token(await services.directory.token(token_id), grace_s=grace)

    print_created("Token", with_services(context, work), as_json=as_json)


@app.command(epilog=examples("presence-gateway token revoke t0123456789ab"))
def revoke(context: typer.Context, token_id: TokenId, *, as_json: Json = False) -> None:
    """Revoke a token. It is refused from its next request on; pauses that are owed still come."""
    with_services(context, lambda services: services.directory.revoke_token(token_id))
    print_done(f"Token {token_id} is revoked.", {"id": token_id, "revoked": True}, as_json)


def _shown(token: TokenView) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "kind": token.kind,
        "prefix": token.prefix,
        "created": token.created_s,
        "last_used": token.used_s,
        "expires": token.expires_s,
    }
