"""`presence-gateway instance`: the WhatsApp numbers of an account."""

from typing import Annotated

import typer

from gateway.api.instance_bodies import is_name
from gateway.commands.installation import with_account
from gateway.commands.manual import examples
from gateway.commands.names import Account, NewName
from gateway.commands.printing import Confirm, Json, confirmed, print_created, print_done, print_list
from gateway.presence.model import Instance, Target, is_base_url
from gateway.tenants import tokens
from gateway.tenants.directory import Created
from gateway.upstreams.registry import ADAPTERS
from gateway.wiring import Services

app = typer.Typer(
    help="Instances: one WhatsApp number of an account, on its upstream.",
    no_args_is_help=True,
    epilog=examples(
        "presence-gateway instance create acme sales",
        "presence-gateway instance list acme",
        "presence-gateway instance delete acme sales",
    ),
)

_COLUMNS = ("name", "id", "upstream", "url", "session")


Kind = Annotated[
    str,
    typer.Option(
        help=f"What holds the session: {', '.join(ADAPTERS)}.",
        show_default="the account's or the service's upstream",
        autocompletion=lambda: [*ADAPTERS],
    ),
]
Url = Annotated[str, typer.Option(help="The upstream's origin.")]
Session = Annotated[
    str,
    typer.Option(
        help="What the upstream calls the session.", show_default="NAME, or ACCOUNT.NAME on the service's upstream"
    ),
]
Credential = Annotated[
    str, typer.Option(envvar="PRESENCE_UPSTREAM_CREDENTIAL", help="The upstream's key; encrypted at rest.")
]


def _upstream(kind: str, url: str, session: str, credential: str) -> Target | None:
    """Read the four options as one upstream, or none; a session alone names that on the default upstream."""
    if session and not is_name(session):
        raise typer.BadParameter("use letters, digits and _ . - only", param_hint="--upstream-session")
    if not kind:
        if url:
            raise typer.BadParameter("is needed where the upstream's URL is given", param_hint="--upstream-kind")
        return None
    if kind not in ADAPTERS:
        raise typer.BadParameter(
            f"there is no such kind; known are {', '.join(ADAPTERS)}", param_hint="--upstream-kind"
        )
    if not is_base_url(url):
        raise typer.BadParameter(
            "give the upstream's http:// or https:// address, without a user name, query or fragment",
            param_hint="--upstream-url",
        )
    return Target(kind, url, session, credential)


def _own_token(token: str | None) -> str | None:
    if token is not None and not tokens.is_acceptable(token):
        raise typer.BadParameter("use 16 to 256 printable characters without spaces, not beginning with pga_ or pgi_")
    return token


@app.command(
    epilog=examples(
        "# Once, since an instance is of an account that is there:",
        "presence-gateway account create acme",
        "presence-gateway instance create acme sales",
        "# The environment keeps a credential out of the process list, and in",
        "# PRESENCE_INSTANCE_TOKEN a token of your own:",
        "export PRESENCE_UPSTREAM_CREDENTIAL='...'",
        "presence-gateway instance create acme sales --upstream-kind waha --upstream-url http://waha.internal:3000",
    )
)
def create(
    context: typer.Context,
    account: Account,
    name: NewName,
    *,
    upstream_kind: Kind = "",
    upstream_url: Url = "",
    upstream_session: Session = "",
    upstream_credential: Credential = "",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PRESENCE_INSTANCE_TOKEN",
            callback=_own_token,
            help="The instance's token, instead of a generated one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an instance of an account that is there, and its token, which is shown this once."""
    upstream = _upstream(upstream_kind, upstream_url, upstream_session, upstream_credential)

    async def make(services: Services, account_id: str) -> Created:
        given = "" if upstream else upstream_session
        return await services.directory.create_instance(account_id, name, upstream=upstream, session=given, token=token)

    print_created("Instance", with_account(context, account, make), as_json=as_json, account=account)


@app.command(
    "list", epilog=examples("presence-gateway instance list acme", "presence-gateway instance list acme --json")
)
def list_instances(context: typer.Context, account: Account, *, as_json: Json = False) -> None:
    """List an account's instances and where each lives; never their credentials."""
    found = with_account(context, account, lambda services, owner: services.directory.instances(owner))
    shown = [_shown(instance) for instance in found]
    empty = f"No instances yet; make one: presence-gateway instance create {account} NAME"
    print_list("instances", shown, _COLUMNS, empty=empty, as_json=as_json, blank="(the service's)")


@app.command(
    epilog=examples(
        "export PRESENCE_UPSTREAM_CREDENTIAL='...'",
        "presence-gateway instance move acme sales --upstream-kind waha --upstream-url http://waha.internal:3000",
    )
)
def move(
    context: typer.Context,
    account: Account,
    name: NewName,
    *,
    upstream_kind: Kind,
    upstream_url: Url,
    upstream_session: Session = "",
    upstream_credential: Credential = "",
    as_json: Json = False,
) -> None:
    """Give an instance another upstream; what it owes where it was is paused there, now."""
    upstream = _upstream(upstream_kind, upstream_url, upstream_session, upstream_credential)
    if upstream is None:
        raise typer.BadParameter("name where it is to live", param_hint="--upstream-kind")

    async def work(services: Services, account_id: str) -> Instance:
        found = await services.directory.find_instance(account_id, name)
        await services.moves.move_instance(found.id, upstream)
        return await services.directory.instance_by_id(found.id)

    moved = with_account(context, account, work)
    print_done(f"Instance {name} lives at {upstream.where} now.", _shown(moved), as_json)


@app.command(
    epilog=examples(
        "presence-gateway instance delete acme sales",
        "# In a script, which nobody can ask:",
        "presence-gateway instance delete acme sales --confirm sales",
    )
)
def delete(
    context: typer.Context, account: Account, name: NewName, *, confirm: Confirm = None, as_json: Json = False
) -> None:
    """Delete an instance: its tokens die at once, and pauses that are owed are dispatched now."""
    confirmed(name, confirm)

    async def work(services: Services, account_id: str) -> dict[str, str]:
        found = await services.directory.find_instance(account_id, name)
        await services.removal.delete_instance(found)
        return {"id": found.id, "status": "deleted"}

    print_done(f"Instance {name} is deleted.", with_account(context, account, work), as_json)


def _shown(instance: Instance) -> dict[str, str]:
    target = instance.target
    return {
        "id": instance.id,
        "name": instance.name,
        "upstream": target.kind,
        "url": target.url,
        "session": target.session,
    }
