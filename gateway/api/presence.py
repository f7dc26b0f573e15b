"""`POST /api/chat/presence/{instance}`: the endpoint this gateway is a drop-in for."""

from aiohttp import web

from gateway.api import bodies
from gateway.api.bodies import PresenceCommand
from gateway.api.context import NOTES
from gateway.api.guards import Caller
from gateway.api.opening import Opening, Places
from gateway.presence.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.presence.model import Instance, State
from gateway.presence.service import Begun, Presence
from gateway.process import envelope
from gateway.telemetry import trace
from gateway.telemetry.logs import chat_label
from gateway.telemetry.metrics import COMMANDS, LOST_LEASES


class PresenceRoutes:
    """Reads the body, asks the domain, words the answer."""

    def __init__(self, presence: Presence, *, body_timeout_s: float, max_in_flight: int) -> None:
        """Bound the body's arrival in time, and how many commands are under way; its size is the server's business."""
        self._presence = presence
        self._body_timeout_s = body_timeout_s
        self._places = Places(max_in_flight)

    def open(self, request: web.Request, instance: Instance) -> Opening | None:
        """Read a command that came whole with its head, as most do; what is wrong with another is told in its turn."""
        if self._places.are_promised:
            return None
        try:
            body = bodies.at_hand(request)
            command = None if body is None else bodies.presence(body)
        except GatewayError:
            return None
        if command is None:
            return None
        begun = self._presence.begin(instance, command.chat, command.state, command.duration_s, trace=_traceparent())
        return None if begun is None else Opening(command, begun, self._presence, self._places)

    async def send(self, request: web.Request, caller: Caller, instance: Instance) -> web.Response:
        """Show, or end, an indicator on a chat (contract section 4)."""
        opening = caller.opening
        command = opening.command if opening else bodies.presence(await bodies.read(request, self._body_timeout_s))
        request[NOTES].fields.update(
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
        # For one whose promise came along a place was kept. A pause that needs no Redis does not wait for those who do.
        is_full = self._places.are_taken if caller.store_is_down else self._places.are_promised
        if is_full and caller.opening is None:
            raise Overloaded
        with self._places:
            if caller.store_is_down:
                await self._obey_without_store(instance, command)
            else:
                await self._obey(instance, command, caller.opening.begun if caller.opening else None)

    async def _obey(self, instance: Instance, command: PresenceCommand, begun: Begun | None) -> None:
        try:
            shown = await self._presence.show(
                instance,
                command.chat,
                command.state,
                command.duration_s,
                asked=command.asked,
                trace=_traceparent(),
                begun=begun,
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


def _traceparent() -> str:
    here = trace.current()
    return here.header if here else ""


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
