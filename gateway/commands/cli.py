"""`presence-gateway`: every command on one screen, and every failure as one sentence."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import SERVICE, VERSION
from gateway.commands import account, audit, config, data, doctor, instance, keys, roles, send, status, token
from gateway.commands.errors import CommandFailed, advised
from gateway.commands.manual import examples, manual
from gateway.presence.errors import GatewayError
from gateway.process.child import StartFailed
from gateway.process.embedded import EmbeddedError
from gateway.settings import SettingsError

app = typer.Typer(
    name=SERVICE,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=manual(
        "# Run it, and in another terminal:",
        "presence-gateway dev",
        "presence-gateway account create acme",
        "presence-gateway instance create acme sales",
        "PRESENCE_TOKEN=pgi_... presence-gateway send sales 5511999999999 typing --duration 5",
        "# Complete with Tab in this shell (bash, zsh, fish), from the next one on:",
        "presence-gateway --install-completion",
        environment=(
            "PRESENCE_CONFIG         the file of settings, else config/gateway.toml",
            "PRESENCE_SECTION__KEY   one setting, in the place of the file's",
            "PRESENCE_REDIS__URL     the Redis to join, else that of a running `dev`",
            "PRESENCE_SECRETS__FILE  the file of keys, else that of a running `dev`",
            "PRESENCE_URL            the gateway that `send` asks",
            "PRESENCE_TOKEN          the token that it sends",
        ),
        exit_status=(
            "0  done",
            "1  not done, or something needs a person: standard error says what",
            "2  wrong usage",
        ),
        see_also=("http://127.0.0.1:8080/docs, on a running gateway: the HTTP API",),
    ),
)

_RUN = "Run"
_OPERATE = "Operate"
_TRY = "Try"

app.command(
    rich_help_panel=_RUN,
    epilog=examples(
        "presence-gateway dev",
        "# A second one beside it:",
        "presence-gateway dev --port 8081 --admin-port 9092 --data /tmp/second",
    ),
)(roles.dev)
app.command(
    rich_help_panel=_RUN,
    epilog=examples(
        "export PRESENCE_REDIS__URL=redis://redis:6379/0",
        "export PRESENCE_SECRETS__FILE=/etc/presence/secrets.toml",
        "presence-gateway serve",
        "# For each core one, behind one port:",
        "presence-gateway serve --processes 4",
    ),
)(roles.serve)
app.command(rich_help_panel=_RUN, epilog=examples("presence-gateway sandbox --port 8090"))(roles.sandbox)
app.command(
    rich_help_panel=_OPERATE,
    epilog=examples("presence-gateway check-config", "presence-gateway check-config /etc/presence/gateway.toml --json"),
)(config.check_config)
app.command(
    rich_help_panel=_OPERATE,
    epilog=examples("presence-gateway status", "presence-gateway status --json"),
)(status.status)
app.add_typer(account.app, name="account", rich_help_panel=_OPERATE)
app.add_typer(instance.app, name="instance", rich_help_panel=_OPERATE)
app.add_typer(token.app, name="token", rich_help_panel=_OPERATE)
app.add_typer(keys.app, name="keys", rich_help_panel=_OPERATE)
app.command(rich_help_panel=_OPERATE, epilog=examples("presence-gateway audit --count 20 --json"))(audit.audit)
app.command(rich_help_panel=_OPERATE, epilog=examples("presence-gateway check"))(data.check)
app.command(rich_help_panel=_OPERATE, epilog=examples("presence-gateway backup tenants.ndjson"))(data.backup)
app.command(
    rich_help_panel=_OPERATE,
    epilog=examples(
        "presence-gateway restore tenants.ndjson",
        "# In the place of what is there, which is lost:",
        "presence-gateway restore tenants.ndjson --force",
    ),
)(data.restore)
app.command(
    rich_help_panel=_OPERATE,
    epilog=examples("presence-gateway upgrade", "presence-gateway upgrade --from redis://old.internal:6379/0"),
)(data.upgrade)
app.command(
    rich_help_panel=_TRY,
    epilog=examples(
        "export PRESENCE_TOKEN=pgi_...",
        "presence-gateway send sales 5511999999999 typing --duration 5",
        "presence-gateway send sales 5511999999999 pause --url https://presence.example --json",
    ),
)(send.send)
app.command(
    rich_help_panel=_TRY,
    epilog=examples(
        "presence-gateway doctor --instance sales", "presence-gateway doctor --instance sales --account acme"
    ),
)(doctor.doctor)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{SERVICE} {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where `dev` runs, for commands to join it; unused where a Redis is set."),
    ] = Path("data"),
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """WhatsApp typing and recording indicators that appear at once and always end on time."""
    context.obj = data


def main(arguments: list[str] | None = None) -> None:
    """Run one command; exit with 0, with 1 and a sentence on standard error, or with 2 for wrong usage."""
    try:
        app(arguments, prog_name=SERVICE)
    except SettingsError as error:
        _fail("the settings are wrong\n" + "\n".join(f"  {problem}" for problem in error.problems))
    except (GatewayError, CommandFailed, EmbeddedError, StartFailed) as error:
        _fail(advised(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(sentence: str) -> None:
    typer.echo(f"{SERVICE}: {sentence}", err=True)
    sys.exit(1)
