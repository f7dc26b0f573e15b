"""`POST /api/chat/presence/{instance}`: the endpoint this gateway is a drop-in for."""

from collections.abc import Awaitable

from aiohttp import web
from msgspec import UNSET

from gateway.api import bodies
from gateway.api.answers import PresenceSent
from gateway.api.bodies import PresenceCommand
from gateway.api.concurrency import ConcurrencyLimit
from gateway.api.context import CONTEXT
from gateway.api.guards import Caller, Entry
from gateway.api.message_end import count
from gateway.presence.errors import GatewayError, StoreUnavailable
from gateway.presence.model import Instance, State
from gateway.presence.service import Presence
from gateway.presence.wanted import Ahead
from gateway.process import envelope
from gateway.telemetry import trace
from gateway.telemetry.logs import chat_label
from gateway.telemetry.metrics import COMMANDS


class PresenceRoutes:
    """Reads the body, asks the domain, words the answer."""

    def __init__(
        self,
        presence: Presence,
        *,
        body_timeout_s: float,
        hold_max_s: int,
        max_in_flight: int,
        max_in_flight_per_account: int,
    ) -> None:
        """Bound the body's arrival in time, and how many commands are under way; its size is the server's business."""
        self._presence = presence
        self._body_timeout_s = body_timeout_s
        self._hold_max_s = hold_max_s
        self._commands = ConcurrencyLimit(max_in_flight, max_in_flight_per_account)
        # A Redis that hangs holds commands up: it must not keep out a pause that needs no Redis.
        self._bare_pauses = ConcurrencyLimit(max_in_flight, max_in_flight_per_account)

    async def send(self, request: web.Request, entry: Entry) -> web.Response:
        """Show, or end, an indicator on a chat (contract section 4)."""
        ahead = None
        try:
            try:
                command = bodies.presence(await bodies.read(request, self._body_timeout_s), self._hold_max_s)
                ahead = await self._promise_ahead(entry, command)
            finally:
                # Whoever is refused hears that, and not what is wrong with their command.
                caller, instance = await entry.admitted
            request[CONTEXT].fields.update(
                instance=instance.id,
                chat=chat_label(command.chat.jid),
                state=command.state.value,
                duration_s=command.duration_s,
            )
            is_theirs = instance is entry.vouched
            await self._count(command, self._obey(caller, instance, command, ahead if is_theirs else None))
        finally:
            await self._presence.withdraw(ahead)
        return envelope.success(_answer(command))

    async def _promise_ahead(self, entry: Entry, command: PresenceCommand) -> Ahead | None:
        """Promise while the caller is admitted: both take a round trip to Redis, and need not wait for each other."""
        if entry.vouched is None:
            return None
        return await self._presence.promise_ahead(
            entry.vouched, command.chat, command.state, command.duration_s, trace=_traceparent()
        )

    async def _count(self, command: PresenceCommand, obeying: Awaitable[str]) -> None:
        try:
            outcome = await obeying
        except GatewayError as error:
            COMMANDS.labels(command.state, type(error).__name__).inc()
            raise
        COMMANDS.labels(command.state, outcome).inc()

    async def _obey(self, caller: Caller, instance: Instance, command: PresenceCommand, ahead: Ahead | None) -> str:
        """Promise, send and settle; says what became of it, for the metrics."""
        if caller.store_is_down:
            return await self._pause_without_store(instance, command)
        # Refused at once is what would only queue up: those already under way are promised their time.
        with self._commands.place(instance.account_id):
            try:
                shown = await self._presence.show(
                    instance,
                    command.chat,
                    command.state,
                    command.duration_s,
                    asked=command.asked,
                    trace=_traceparent(),
                    ahead=ahead,
                )
            except StoreUnavailable:
                return await self._pause_without_store(instance, command)
        count(shown)
        return shown.outcome

    async def _pause_without_store(self, instance: Instance, command: PresenceCommand) -> str:
        """Without Redis no promise can be made: an indicator is refused, a pause is always safe."""
        if command.state is not State.PAUSED:
            raise StoreUnavailable
        with self._bare_pauses.place(instance.account_id):
            await self._presence.pause_unpromised(instance, command.chat)
        return "unpromised"


def _traceparent() -> str:
    here = trace.current()
    return here.header if here else ""


def _answer(command: PresenceCommand) -> PresenceSent:
    message = f"Presence '{command.asked}' sent successfully"
    if command.duration_s:
        message += f" (will auto-pause after {command.duration_s} seconds)"
    return PresenceSent(message, command.chat.jid, command.asked, command.duration_s, hold=command.hold or UNSET)
