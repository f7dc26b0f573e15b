"""What a message that was sent ends, counted: the same whether it passed through us or its upstream reported it."""

from gateway.presence.model import Chat, Instance
from gateway.presence.service import Presence
from gateway.telemetry.metrics import ENDS, LOST_LEASES


async def end_by_message(presence: Presence, instance: Instance, chat: Chat) -> None:
    """End the indicator that announced the message (contract section 6)."""
    shown = await presence.message_sent(instance, chat)
    if shown.lost_lease:
        LOST_LEASES.inc()
    if shown.ended:
        ENDS.labels(shown.ended).inc()
