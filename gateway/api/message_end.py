"""What a message that was sent ends, and how that is counted, whether it passed through us or was reported."""

from gateway.presence.service import CommandResult
from gateway.telemetry.metrics import ENDS


def count(shown: CommandResult) -> None:
    """Count what a command, or a message, came to."""
    if shown.ended:
        ENDS.labels(shown.ended).inc()
