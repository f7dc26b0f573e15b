"""Names that nobody has used before, for requests, spans and leases. They tell nothing and guard nothing."""

import random

_dice = random.SystemRandom()
_quick = random.Random(_dice.getrandbits(256))  # noqa: S311 - unique is all it must be; it asks the kernel once


def fresh() -> str:
    """Return 16 hexadecimal digits."""
    return f"{_quick.getrandbits(64):016x}"
