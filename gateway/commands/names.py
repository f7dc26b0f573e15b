"""Names on the command line, checked before anything is asked of Redis."""

import re
from typing import Annotated

import typer

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def checked(name: str) -> str:
    """Return a name that an account or an instance may have.

    Raises:
        BadParameter: it may not.
    """
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("use 1 to 100 letters, digits, dots, dashes or underscores")
    return name


NewName = Annotated[str, typer.Argument(metavar="NAME", callback=checked, help="Letters, digits and _ . - only.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", callback=checked, help="The account's name or id.")]
