"""Files that only their owner may read, and the one that holds an installation's keys."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, whole or not at all: a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def generate() -> dict[str, str]:
    """Make fresh keys, by the names of their settings."""
    return {
        "pepper": secrets.token_urlsafe(32),
        "encryption_keys": Fernet.generate_key().decode(),
        "admin_key": secrets.token_urlsafe(32),
    }


def as_toml(keys: dict[str, str]) -> str:
    """Word the keys as the file that `[secrets] file` names."""
    return f"""\
# The keys of one presence gateway installation. Every gateway and worker of it needs the same ones.
# Losing the pepper makes every token invalid; losing the encryption keys, every stored upstream credential unreadable.
pepper = "{keys["pepper"]}"
# The newest first, separated by commas: the first encrypts, all of them decrypt.
encryption_keys = "{keys["encryption_keys"]}"
admin_key = "{keys["admin_key"]}"
"""


def ensure(path: Path) -> None:
    """Make the file with fresh keys where there is none."""
    if not path.exists():
        write_private(path, as_toml(generate()))
