"""What the public API is, as OpenAPI: contract sections 2 to 5."""

from typing import Any

from gateway.api.openapi.words import (
    BEARER,
    INTEGER,
    NUMBER,
    STRING,
    document,
    fields,
    header,
    items,
    nullable,
    operation,
    path,
    success,
    text,
)
from gateway.upstreams.registry import ADAPTERS

_ABOUT = (
    "Typing and recording indicators that appear at once and always end on time. Every authenticated answer carries "
    "`X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds). An account's token works on "
    "all of its instances, an instance's token on that one only. Every other route of RyzeAPI, "
    "`/api/<...>/{instance}` and the WebSocket `/ws/{instance}`, passes through to upstreams of that kind and is "
    "described by them."
)

UPSTREAM = fields(
    {"kind": text("What holds the session.", enum=list(ADAPTERS)), "url": text("Its address.")},
    {
        "session": nullable(text("What it calls the session; else the instance's name.")),
        "credential": nullable(text("Its key; kept encrypted and never shown.")),
        "quiet_after_s": nullable(
            {"type": "number", "description": "Seconds after the last indicator until the account is made unavailable."}
        ),
    },
)
TOLD_UPSTREAM = fields({"kind": STRING, "url": nullable(STRING), "session": STRING})
NEW_INSTANCE = fields(
    {"name": text("Unique within the account.", pattern="^[A-Za-z0-9_.-]{1,100}$")},
    {
        "token": nullable(text("The instance's token, instead of a generated one: 16 to 256 characters.")),
        "upstream": {"anyOf": [UPSTREAM, {"type": "null"}]},
    },
)
GRACE = fields({}, {"grace": nullable({**INTEGER, "description": "Seconds for which the old token stays valid."})})
CONNECTION = fields({"state": text(enum=["connected", "connecting", "disconnected", "loggedout", "unknown"])})

_INSTANCE = {"id": STRING, "name": STRING, "status": STRING}
_INDICATOR = fields(
    {"chat": STRING, "state": text(enum=["typing", "recording"]), "since": NUMBER, "ends": nullable(NUMBER)}
)
_META = fields({"total": INTEGER})
_DATA = fields({"token": STRING})
_NAME = "The instance's name, URL-encoded."

_PRESENCE = path(
    {
        "post": operation(
            "sendPresence",
            "Show typing or recording on a chat, or pause it",
            success({"message": STRING, "chat_jid": STRING, "state": STRING, "duration": INTEGER}),
            body=fields(
                {"number": text("Phone digits or a JID."), "state": text("typing, recording, pause or paused.")},
                {
                    "duration": nullable(
                        {**INTEGER, "description": "Seconds until the automatic pause, 60 at the most; 600 with hold."}
                    ),
                    "hold": nullable({"type": "boolean", "description": "Held until the message is sent."}),
                },
            ),
            refusals=(403, 404, 501, 502, 504),
        ),
        "get": operation(
            "listIndicators",
            "List what the instance's chats show right now",
            success({"message": STRING, "indicators": items(_INDICATOR), "meta": _META}),
            refusals=(403, 404),
        ),
    },
    instance=_NAME,
)
_EVENTS = path(
    {
        "post": operation(
            "takeEvent",
            "Take a webhook of the instance's upstream; a message that was sent ends its chat's indicator",
            success({"message": STRING}),
            body=fields({}),
            refusals=(403, 404),
        )
    },
    instance=_NAME,
)
_NEW = path(
    {
        "post": operation(
            "createInstance",
            "Make an instance; its token is shown this once",
            success(
                {
                    "message": STRING,
                    "instance": fields({**_INSTANCE, "token": STRING, "upstream": TOLD_UPSTREAM}),
                    "data": _DATA,
                }
            ),
            status=201,
            body=NEW_INSTANCE,
            refusals=(403, 404, 409),
        )
    }
)
_LIST = path(
    {
        "get": operation(
            "listInstances",
            "List instances with their connection",
            success(
                {
                    "message": STRING,
                    "instances": items(fields({**_INSTANCE, "connection": CONNECTION})),
                    "meta": _META,
                }
            ),
            refusals=(404,),
            query={"instanceName": "Only these, separated by commas."},
        )
    }
)
_DELETE = path(
    {
        "delete": operation(
            "deleteInstance",
            "Delete an instance; what it owes is paused now",
            success({"message": STRING, "instance": fields({"name": STRING, "status": {"const": "deleted"}})}),
            refusals=(404,),
        )
    },
    instance=_NAME,
)
_TOKEN = path(
    {
        "post": operation(
            "rotateInstanceToken",
            "Replace the instance's token",
            success(
                {
                    "message": STRING,
                    "instance": fields({**_INSTANCE, "token": STRING}),
                    "data": _DATA,
                    "grace": INTEGER,
                }
            ),
            body=GRACE,
            body_required=False,
            refusals=(404,),
        )
    },
    instance=_NAME,
)
_HEALTH = path(
    {
        "get": operation(
            "health",
            "Say that the gateway serves",
            success({"status": STRING, "version": STRING, "service": STRING}),
            guarded=False,
        )
    }
)


def describe() -> dict[str, Any]:
    """Describe the public API."""
    schemes = {
        "token": header("token"),
        "bearer": BEARER,
        "query": {"type": "apiKey", "in": "query", "name": "token"},
    }
    paths = {
        "/api/chat/presence/{instance}": _PRESENCE,
        "/api/events/presence/{instance}": _EVENTS,
        "/api/instance/new": _NEW,
        "/api/instance/list": _LIST,
        "/api/instance/delete/{instance}": _DELETE,
        "/api/instance/token/{instance}": _TOKEN,
        "/health": _HEALTH,
    }
    return document("Presence gateway", _ABOUT, schemes, paths)
