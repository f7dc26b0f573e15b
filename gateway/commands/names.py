"""Names on the command line, checked before anything is asked of Redis."""

from typing import Annotated

import typer

from gateway.api.guards import NAME


def checked(name: str) -> str:
    """Return a name that an account or an instance may have.

    Raises:
        BadParameter: it may not.
    """
    if not NAME.fullmatch(name):
        raise typer.BadParameter("use 1 to 100 letters, digits, dots, dashes or underscores")
    return name


NewName = Annotated[str, typer.Argument(metavar="NAME", callback=checked, help="Letters, digits and _ . - only.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", callback=checked, help="The account's name or id.")]
