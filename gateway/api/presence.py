"""`POST /api/chat/presence/{instance}`: the endpoint this gateway is a drop-in for."""

from aiohttp import web

from gateway import envelope, trace
from gateway.api import bodies
from gateway.api.bodies import PresenceCommand
from gateway.api.guards import Caller
from gateway.api.middlewares import LOG_FIELDS
from gateway.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.logs import chat_label
from gateway.metrics import COMMANDS, LOST_LEASES
from gateway.model import Instance, State
from gateway.presence import Presence


class PresenceRoutes:
    """Reads the body, asks the domain, words the answer."""

    def __init__(self, presence: Presence, *, body_timeout_s: float, max_in_flight: int) -> None:
        """Bound the body's arrival in time, and how many commands are under way; its size is the server's business."""
        self._presence = presence
        self._body_timeout_s = body_timeout_s
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    async def send(self, request: web.Request, caller: Caller, instance: Instance) -> web.Response:
        """Show, or end, an indicator on a chat (contract section 4)."""
        command = bodies.presence(await bodies.read(request, self._body_timeout_s))
        request[LOG_FIELDS].update(
            instance=instance.id,
            chat=chat_label(command.chat.jid),
            state=command.state.value,
            duration_s=command.duration_s,
        )
        try:
            await self._admit(caller, instance, command)
        except GatewayError as error:
            COMMANDS.labels(command.state, type(error).__name__).inc()
            raise
        return envelope.success(_answer(command))

    async def _admit(self, caller: Caller, instance: Instance, command: PresenceCommand) -> None:
        """Refuse at once what would only queue up: those already under way are promised their time."""
        if self._in_flight >= self._max_in_flight:
            raise Overloaded
        self._in_flight += 1
        try:
            await self._obey(caller, instance, command)
        finally:
            self._in_flight -= 1

    async def _obey(self, caller: Caller, instance: Instance, command: PresenceCommand) -> None:
        if caller.store_is_down:
            await self._obey_without_store(instance, command)
            return
        here = trace.current()
        try:
            shown = await self._presence.show(
                instance,
                command.chat,
                command.state,
                command.duration_s,
                asked=command.asked,
                trace=here.header if here else "",
            )
        except StoreUnavailable:
            await self._obey_without_store(instance, command)
            return
        if shown.lost_lease:
            LOST_LEASES.inc()
        COMMANDS.labels(command.state, shown.outcome).inc()

    async def _obey_without_store(self, instance: Instance, command: PresenceCommand) -> None:
        """Without Redis no promise can be made: an indicator is refused, a pause is always safe."""
        if command.state is not State.PAUSED:
            raise StoreUnavailable
        await self._presence.pause_unpromised(instance, command.chat)
        COMMANDS.labels(command.state, "unpromised").inc()


def _answer(command: PresenceCommand) -> dict[str, object]:
    message = f"Presence '{command.asked}' sent successfully"
    if command.duration_s:
        message += f" (will auto-pause after {command.duration_s} seconds)"
    return {
        "message": message,
        "chat_jid": command.chat.jid,
        "state": command.asked,
        "duration": command.duration_s,
    }
