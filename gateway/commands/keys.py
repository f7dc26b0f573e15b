"""`presence-gateway keys`: what an installation's secrets file holds."""

import typer

from gateway.commands.errors import CommandFailed
from gateway.commands.installation import with_services
from gateway.commands.manual import examples
from gateway.commands.printing import Json, print_done, print_json
from gateway.process.keyfile import as_toml, generate

app = typer.Typer(
    help="Keys: the pepper, the encryption keys and the operator's key.",
    no_args_is_help=True,
    epilog=examples("(umask 077; presence-gateway keys generate > secrets.toml)", "presence-gateway keys rotate"),
)


@app.command(
    "generate",
    epilog=examples(
        "(umask 077; presence-gateway keys generate > secrets.toml)",
        "export PRESENCE_SECRETS__FILE=$PWD/secrets.toml",
    ),
)
def generate_keys(*, as_json: Json = False) -> None:
    """Print fresh keys as a secrets file. Nothing is stored."""
    keys = generate()
    if as_json:
        print_json(keys)
    else:
        typer.echo(as_toml(keys), nl=False)


@app.command(epilog=examples("presence-gateway keys rotate"))
def rotate(context: typer.Context, *, as_json: Json = False) -> None:
    """Encrypt every stored credential under the newest encryption key, while everything serves.

    First put the new key before the old ones, in encryption_keys of every
    process's secrets; when this is done, the old ones may go. What was
    interrupted goes on where it stood.
    """
    done = with_services(context, lambda services: services.tenancy.reseal())
    told = {"resealed": done.count, "unreadable": list(done.unreadable)}
    print_done(f"{done.count} credentials are encrypted anew.", told, as_json)
    if done.unreadable:
        raise CommandFailed(f"no listed key opens the credentials of {', '.join(done.unreadable)}")
