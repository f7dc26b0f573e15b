"""How what ended an indicator is counted, whoever ended it: a command, or a message that passed or was reported."""

from gateway.presence.service import CommandResult
from gateway.telemetry.metrics import ENDS


def count(shown: CommandResult) -> None:
    """Count what a command, or a message, came to."""
    if shown.ended:
        ENDS.labels(shown.ended).inc()
