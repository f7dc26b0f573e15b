"""`presence-gateway keys`: what an installation's secrets file holds."""

import typer

from gateway.commands.printing import Json, examples, print_json
from gateway.keyfile import as_toml, generate

app = typer.Typer(help="Keys: the pepper, the encryption keys and the operator's key.", no_args_is_help=True)


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
