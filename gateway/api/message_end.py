"""What a message that was sent ends, and how that is counted, whether it passed through us or was reported."""

from gateway.presence.model import Chat, Instance
from gateway.presence.service import CommandResult, Presence
from gateway.telemetry.metrics import ENDS


async def end_by_message(presence: Presence, instance: Instance, chat: Chat) -> None:
    """End the indicator that announced a message which was sent just now (contract section 6)."""
    count(await presence.message_sent(instance, chat))


def count(shown: CommandResult) -> None:
    """Count what a command, or a message, came to."""
    if shown.ended:
        ENDS.labels(shown.ended).inc()
