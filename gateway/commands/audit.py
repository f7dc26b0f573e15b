"""`presence-gateway audit`: who changed what, the latest first."""

from typing import Annotated

import typer

from gateway.commands.installation import with_services
from gateway.commands.printing import Json, print_list

_COLUMNS = ("at", "actor", "action", "subject", "detail")


def audit(
    context: typer.Context,
    *,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many changes.")] = 100,
    as_json: Json = False,
) -> None:
    """List the latest changes of accounts, tokens, instances and keys."""
    entries = with_services(context, lambda services: services.audit.entries(count))
    shown = [
        {
            "id": entry.id,
            "at": entry.at_s,
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "account": entry.account,
            "detail": entry.detail,
        }
        for entry in entries
    ]
    print_list("entries", shown, _COLUMNS, empty="Nothing was changed yet.", as_json=as_json)
