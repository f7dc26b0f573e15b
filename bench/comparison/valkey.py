"""The Valkey that each stack gets for itself: the embedded one, every write synced before its answer.

Valkey's own builds, Debian's and Docker's too, allocate by jemalloc; the embedded one, which only has to run anywhere,
by libc, which costs it a third more of its CPU. So jemalloc is put under it where the machine has it (Debian:
libjemalloc2), for every stack alike.
"""

import ctypes.util
import os
from contextlib import AbstractContextManager
from pathlib import Path

from valkeys import Running, start_valkey

JEMALLOC = ctypes.util.find_library("jemalloc")


def valkey(folder: Path) -> AbstractContextManager[Running]:
    """Run a server of its own; its log is never rewritten, which would fall into anybody's round."""
    environ = os.environ | ({"LD_PRELOAD": JEMALLOC} if JEMALLOC else {})
    return start_valkey(folder, "--auto-aof-rewrite-percentage", "0", environ=environ)
