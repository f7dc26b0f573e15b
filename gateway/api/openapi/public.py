"""What the public API is, as OpenAPI: contract sections 2 to 5."""

from typing import Any

from msgspec import Struct

from gateway.api import answers
from gateway.api.bodies import PresenceFields
from gateway.api.instance_bodies import GraceFields, InstanceFields
from gateway.api.openapi.words import BEARER, Examples, Fault, document, header, operation, part, schema
from gateway.presence import errors

_ABOUT = (
    "Typing and recording indicators that appear at once and always end on time. Every authenticated answer carries "
    "`X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds). An account's token works on "
    "all of its instances, an instance's token on that one only. Every other route of RyzeAPI, "
    "`/api/<...>/{instance}` and the WebSocket `/ws/{instance}`, passes through to upstreams of that kind and is "
    "described by them."
)


class _Health(Struct):
    status: str
    version: str
    service: str


_GATE = (errors.MissingToken, errors.InvalidToken)
_OF_INSTANCE = (*_GATE, errors.InstanceTokenMismatch, errors.InstanceNotFound)
_OF_ACCOUNT = (*_GATE, errors.InvalidAccountToken)


def _sent(state: str, duration: int = 0) -> dict[str, Any]:
    end = f" (will auto-pause after {duration} seconds)" if duration else ""
    return {
        "success": True,
        "message": f"Presence '{state}' sent successfully{end}",
        "chat_jid": "5511999999999@s.whatsapp.net",
        "state": state,
        "duration": duration,
    }


_COMMANDS: Examples = {
    "Typing for 5 seconds": {"number": "5511999999999", "state": "typing", "duration": 5},
    "Recording, held until the message": {"number": "5511999999999", "state": "recording", "hold": True},
    "Typing, without an end": {"number": "5511999999999", "state": "typing"},
    "Pause": {"number": "5511999999999", "state": "pause"},
}
_SENT: Examples = {
    "Typing for 5 seconds": _sent("typing", 5),
    "Recording, held until the message": {**_sent("recording", 600), "hold": True},
    "Typing, without an end": _sent("typing"),
    "Pause": _sent("pause"),
}
_EVENT: Examples = {"The sandbox's": {"event": "message", "from_me": True, "chat": "5511999999999@s.whatsapp.net"}}
_NEW: Examples = {
    "On the default upstream": {"name": "sales"},
    "On one of its own": {"name": "sales", "upstream": {"kind": "waha", "url": "https://waha.example.com"}},
}

_PRESENCE = {
    "POST /api/chat/presence/{instance}": operation(
        "sendPresence",
        "Show typing or recording on a chat, or pause it",
        answers.PresenceSent,
        *(*_OF_INSTANCE, errors.NumberRequired, errors.StateRequired, errors.InvalidState, errors.InvalidNumber),
        *(errors.InvalidDuration, errors.StateUnsupported("recording"), errors.UpstreamRejected),
        *(errors.InstanceNotConnected, errors.UpstreamSilent),
        body=schema(PresenceFields, "number", "state"),
        bodies=_COMMANDS,
        answers=_SENT,
    ),
    "GET /api/chat/presence/{instance}": operation(
        "listIndicators", "List what the instance's chats show right now", answers.Indicators, *_OF_INSTANCE
    ),
    "POST /api/events/presence/{instance}": operation(
        "takeEvent",
        "Take a webhook of the instance's upstream; a message that was sent ends its chat's indicator",
        answers.Said,
        *_OF_INSTANCE,
        body={"type": "object"},
        bodies=_EVENT,
    ),
}
_INSTANCES = {
    "POST /api/instance/new": operation(
        "createInstance",
        "Make an instance; its token is shown this once",
        answers.InstanceCreated,
        *(*_OF_ACCOUNT, errors.NameRequired, errors.InvalidName, errors.InvalidOwnToken, errors.InvalidUpstream),
        *(errors.UpstreamNotAllowed, errors.QuotaExceeded, errors.EncryptionOff, errors.AccountNotFound),
        *(errors.Conflict, errors.Conflict("Token already in use"), errors.ChangedMeanwhile),
        status=201,
        body=schema(InstanceFields, "name"),
        bodies=_NEW,
    ),
    "GET /api/instance/list": operation(
        "listInstances",
        "List instances with their connection",
        answers.Instances,
        *(*_GATE, errors.InstanceNotFound),
        query={"instanceName": "Only these, separated by commas."},
    ),
    "DELETE /api/instance/delete/{instance}": operation(
        "deleteInstance",
        "Delete an instance; what it owes is paused now",
        answers.InstanceDeleted,
        *(*_OF_ACCOUNT, errors.InstanceNotFound),
    ),
    "POST /api/instance/token/{instance}": operation(
        "rotateInstanceToken",
        "Replace the instance's token",
        answers.TokenRotated,
        *(*_OF_ACCOUNT, errors.InstanceNotFound, errors.InvalidGrace),
        body=schema(GraceFields),
        body_required=False,
        bodies={"For an hour both work": {"grace": 3600}},
    ),
}
_HEALTH = {"GET /health": operation("health", "Say that the gateway serves", _Health, always=(Fault,))}


def describe() -> dict[str, Any]:
    """Describe the public API."""
    schemes = {
        "token": header("token"),
        "bearer": BEARER,
        "query": {"type": "apiKey", "in": "query", "name": "token"},
    }
    groups = {"Presence": _PRESENCE, "Instances": _INSTANCES, "Health": _HEALTH}
    parts = {"instance": part("instance", "The instance's name, URL-encoded.", "demo")}
    return document("Presence gateway", _ABOUT, schemes, groups, parts)
