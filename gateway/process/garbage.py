"""Python's garbage collector, told what a server knows: what is there at the start stays, and requests leave no cycles.

Counting references frees nearly all of a request at once. The collector's walks over everything that lives, hundreds
of times a minute by default, find next to nothing.
"""

import gc

_YOUNG = 50_000
"""New containers between two walks over the youngest; the default is 700."""


def settle() -> None:
    """Take what is there now out of every later walk, and walk less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
