"""`presence-gateway audit`: who changed what, the latest first."""

from typing import Annotated

import typer

from gateway.commands.installation import with_services
from gateway.commands.printing import Json, print_json, print_table, when

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
    if as_json:
        print_json({"entries": shown})
        return
    rows = [[when(one["at"]), *(one[name] for name in _COLUMNS[1:])] for one in shown]
    print_table(_COLUMNS, rows, empty="Nothing was changed yet.")
