"""`presence-gateway check-config`: every wrong setting at once, or all that is in effect."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import settings
from gateway.commands.masking import masked_settings
from gateway.commands.printing import Json, print_json
from gateway.upstreams.registry import ADAPTERS


def check_config(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A file to check.", show_default="$PRESENCE_CONFIG, else config/gateway.toml"
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check the settings: report every error at once, or print what is in effect with secrets masked.

    The environment counts, as it does for the gateway:
    PRESENCE_LIMITS__PER_MINUTE overrides per_minute of the section limits.
    """
    try:
        loaded = settings.load(file)
        _check_kind(loaded)
    except settings.SettingsError as error:
        if as_json:
            print_json({"ok": False, "problems": error.problems})
        raise
    notes = settings.missing(loaded)
    if as_json:
        print_json({"ok": True, "settings": masked_settings(loaded), "missing": notes})
        return
    typer.echo("\n\n".join(_as_toml(section, pairs) for section, pairs in masked_settings(loaded).items()))
    for note in notes:
        typer.echo(f"\nBefore `serve` and the workers can run: {note}", err=True)


def _check_kind(loaded: settings.Settings) -> None:
    """Here and not in the settings, which know no upstream."""
    if loaded.upstream.kind and loaded.upstream.kind not in ADAPTERS:
        raise settings.SettingsError([f"[upstream] kind: there is no such kind; known are {', '.join(ADAPTERS)}"])


def _as_toml(section: str, pairs: dict[str, Any]) -> str:
    return "\n".join([f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in pairs.items())])
