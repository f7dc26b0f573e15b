"""`presence-gateway token`: more tokens for an account, and the end of one."""

from typing import Annotated

import typer

from gateway.commands.names import Account
from gateway.commands.office import with_directory
from gateway.commands.printing import Json, examples, print_created, print_json
from gateway.store.directory import Created, RedisDirectory

app = typer.Typer(help="Tokens: issue one more for an account, revoke any.", no_args_is_help=True)


@app.command(epilog=examples("presence-gateway token issue acme --name crm"))
def issue(
    context: typer.Context,
    account: Account,
    *,
    name: Annotated[str, typer.Option(help="Whom it is for, so that you know later.")] = "",
    as_json: Json = False,
) -> None:
    """Issue one more account token, with a minute of its own; it is shown this once."""

    async def make(directory: RedisDirectory) -> Created:
        return await directory.issue_token(await directory.find_account(account), name=name)

    print_created("Token", with_directory(context, make), {}, as_json=as_json)


@app.command(epilog=examples("presence-gateway token revoke t0123456789ab"))
def revoke(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id that it was issued with; not the token.")],
    *,
    as_json: Json = False,
) -> None:
    """Revoke a token. It is refused from its next request on; pauses that are owed still come."""
    with_directory(context, lambda directory: directory.revoke_token(token_id))
    if as_json:
        print_json({"id": token_id, "revoked": True})
    else:
        typer.echo(f"Token {token_id} is revoked.")
