"""Writes docs/configuration.md from gateway/settings.py (what is allowed) and config/gateway.toml (what it is for).

`python docs/configuration.py > docs/configuration.md`, or `make docs`; a test runs it and compares.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "config/gateway.toml"

_HEAD = """\
# Configuration

Made by `make docs` from `gateway/settings.py` and `config/gateway.toml`; do not edit it here.

Every setting has a default. A file overrides it (`config/gateway.toml` where the process is started, or the one that
`PRESENCE_CONFIG` names), and the environment overrides the file. A variable is named `PRESENCE_<SECTION>__<KEY>`.
`presence-gateway check-config` reports every mistake at once and prints what is in effect.
"""


def page() -> str:
    """The whole page."""
    text = FILE.read_text(encoding="utf-8")
    notes = dict(_notes(text))
    defaults = tomllib.loads(text)
    parts = [_HEAD]
    for section in msgspec.structs.fields(Settings):
        parts.append(f"## `[{section.encode_name}]`\n\n{notes[section.encode_name, '']}\n")
        parts.append("| setting | environment | default | allowed | what it is for |\n| --- | --- | --- | --- | --- |")
        for key in msgspec.structs.fields(section.type):
            cells = (
                f"`{key.name}`",
                f"`{ENV_PREFIX}{section.encode_name.upper()}__{key.name.upper()}`",
                f"`{json.dumps(defaults[section.encode_name][key.name])}`",
                _allowed(key.type),
                notes[section.encode_name, key.name].replace("|", "\\|"),
            )
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _notes(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    """What the file's comments say of each section and key; keys without a note share the one before."""
    section, said, fresh = "", "", list[str]()
    for line in text.splitlines():
        if line.startswith("#"):
            fresh.append(line.removeprefix("#").strip())
        elif not line:
            fresh = []
        elif header := re.fullmatch(r"\[(\w+)\]", line):
            section, said = header[1], " ".join(fresh)
            yield (section, ""), said
            fresh = []
        elif key := re.match(r"(\w+) =", line):
            said = " ".join(fresh) or said
            yield (section, key[1]), said
            fresh = []


def _allowed(kind: Any) -> str:
    info = msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"whole number, {least} to {most}" if most is not None else f"whole number from {least}"
        case msgspec.inspect.FloatType(gt=above, ge=least, le=most):
            if most is not None:
                return f"number, {least:g} to {most:g}"
            return "number above 0" if above is not None else f"number from {least:g}"
        case msgspec.inspect.BoolType():
            return "`true` or `false`"
        case _:
            return "text"


if __name__ == "__main__":
    sys.stdout.write(page())
