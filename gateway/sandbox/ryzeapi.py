"""The part of RyzeAPI that a demo needs, for any token: messages and presences on the sandbox's phone."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from gateway.presence.errors import GatewayError, InvalidState
from gateway.presence.model import STATE_OF_WORD, Chat
from gateway.process import envelope
from gateway.sandbox.keys import FAULTS, PHONE, WEBHOOKS

_LONGEST_TEXT = 2_000


class _Text(msgspec.Struct, frozen=True):
    """The endpoint's reference says `message`, the quick start of the same documentation `text`."""

    number: str
    message: Annotated[str, msgspec.Meta(max_length=_LONGEST_TEXT)] = ""
    text: Annotated[str, msgspec.Meta(max_length=_LONGEST_TEXT)] = ""


class _Presence(msgspec.Struct, frozen=True):
    number: str
    state: str


_TEXT = msgspec.json.Decoder(_Text)
_PRESENCE = msgspec.json.Decoder(_Presence)


class _NothingToSend(GatewayError):
    """A message without a text."""

    status = 400
    message = "Message is required"


async def send_text(request: web.Request) -> web.Response:
    """Show a message on the phone, and report it to the instance's webhook."""
    sent = _TEXT.decode(await request.read())
    text = sent.message or sent.text
    if not text:
        raise _NothingToSend
    chat = Chat.parse(sent.number)
    message = request.app[PHONE].deliver(request.match_info["instance"], chat.jid, text)
    request.app[WEBHOOKS].report(message)
    told = {"id": message.id, "chat_jid": message.chat, "timestamp": message.at}
    return envelope.success({"message": "Message sent successfully", "data": told})


async def send_presence(request: web.Request) -> web.Response:
    """Show a presence on the phone; its timer, where it names one, is not kept here."""
    asked = _PRESENCE.decode(await request.read())
    state = STATE_OF_WORD.get(asked.state.lower())
    if state is None:
        raise InvalidState
    chat = Chat.parse(asked.number)
    request.app[PHONE].tell(request.match_info["instance"], chat.jid, state)
    message = f"Presence '{asked.state.lower()}' sent successfully"
    return envelope.success({"message": message, "chat_jid": chat.jid, "state": asked.state.lower(), "duration": 0})


async def list_instances(request: web.Request) -> web.Response:
    """Say of every instance that is asked for whether it is connected; every name is an instance."""
    names = [name for name in request.query.get("instanceName", "").split(",") if name]
    found = [_instance(request, name) for name in names]
    message = f"{len(found)} Instance{'' if len(found) == 1 else 's'} found"
    return envelope.success({"message": message, "instances": found, "meta": {"total": len(found)}})


def _instance(request: web.Request, name: str) -> dict[str, Any]:
    state = "connected" if request.app[FAULTS].is_connected(name) else "disconnected"
    return {"id": name, "name": name, "status": "active", "connection": {"state": state}}
