"""`POST /api/events/presence/{instance}`: an upstream's webhook, for the messages that end indicators."""

import asyncio
import time

from aiohttp import web

from gateway.api import bodies
from gateway.api.answers import Said
from gateway.api.concurrency import ConcurrencyLimit
from gateway.api.context import CONTEXT
from gateway.api.guards import Caller
from gateway.api.message_end import count
from gateway.presence.errors import InvalidBody
from gateway.presence.model import Chat, Instance
from gateway.presence.service import Presence
from gateway.process import envelope
from gateway.settings import Http
from gateway.upstreams.reading import event
from gateway.upstreams.registry import ADAPTERS

_SHARE = 4
"""An event may be hundreds of times as long as a command: a quarter as many of them are held at once."""

_RESOLUTION_S = 1.0
_TOLERANCE_S = 2.0
"""Events say when their message was sent in whole seconds, by a clock that is not ours."""

_MOST_CHATS = 4
"""One message goes to one chat, which has a phone number and a LID, and each stands in two places at the most."""


class EventRoutes:
    """Reads a webhook, which carries its upstream's secrets: nothing of it is logged but how many chats it named."""

    def __init__(self, presence: Presence, limits: Http) -> None:
        """Bound a body in size and in time, and how many events are under way beside so many commands."""
        self._presence = presence
        self._max_bytes = limits.max_event_bytes
        self._body_timeout_s = limits.body_timeout_s
        most, most_of_account = limits.max_in_flight // _SHARE, limits.max_in_flight_per_account // _SHARE
        self._events = ConcurrencyLimit(max(1, most), max(1, most_of_account))

    async def take(self, request: web.Request, _: Caller, instance: Instance) -> web.Response:
        """End the indicator of the chat to which the event says that a message was sent (contract section 8)."""
        # Before its body, since that is what takes room.
        with self._events.place(instance.account_id):
            roomy = request.clone(client_max_size=self._max_bytes)
            chats, sent_ago_s = self._read(instance, await bodies.read(roomy, self._body_timeout_s))
            request[CONTEXT].fields.update(instance=instance.id, chats=len(chats))
            await self._end(instance, chats, sent_ago_s)
        return envelope.success(Said("Event received"))

    def _read(self, instance: Instance, body: bytes) -> tuple[tuple[Chat, ...], float]:
        """The chats that a message was sent to, and how long ago that was for certain."""
        reported = event(body)
        if reported is None:
            raise InvalidBody
        adapter = ADAPTERS.get(instance.target.kind)
        if adapter is None:
            return (), 0.0
        chats, sent_s = adapter.sent_to(reported)[:_MOST_CHATS], adapter.sent_at(reported)
        if sent_s is None:
            return chats, 0.0
        return chats, max(0.0, time.time() - sent_s - _RESOLUTION_S - _TOLERANCE_S)

    async def _end(self, instance: Instance, chats: tuple[Chat, ...], sent_ago_s: float) -> None:
        ended = (self._presence.message_sent(instance, chat, sent_ago_s=sent_ago_s) for chat in chats)
        for shown in await asyncio.gather(*ended):
            count(shown)
