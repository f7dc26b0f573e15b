"""The Valkey that each stack gets for itself: the embedded one, every write synced before its answer."""

from contextlib import AbstractContextManager
from pathlib import Path

from gateway.embedded import Running, start_valkey


def valkey(folder: Path) -> AbstractContextManager[Running]:
    """Run a server of its own; its log is never rewritten, which would fall into anybody's round."""
    return start_valkey(folder, "--auto-aof-rewrite-percentage", "0")
