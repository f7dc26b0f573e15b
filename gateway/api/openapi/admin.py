"""What the operator's API is, as OpenAPI."""

from typing import Any

from gateway.api.openapi.public import CONNECTION, GRACE, NEW_INSTANCE, TOLD_UPSTREAM, UPSTREAM
from gateway.api.openapi.words import (
    BEARER,
    INTEGER,
    NUMBER,
    STRING,
    Schema,
    document,
    fields,
    flag,
    header,
    items,
    nullable,
    operation,
    path,
    success,
    text,
)
from gateway.presence.model import ChatKind

_ABOUT = (
    "Tenants, their tokens and their instances, for the operator. An account's token works here too, on what is that "
    "account's; then looks count in a minute of their own, and changes against its limit. Every change is audited."
)
_FIGURES = {
    name: nullable(INTEGER)
    for name in ("per_minute", "creation_per_minute", "account_per_minute", "instances_quota", "tokens_quota")
}
_CHANGE = fields({}, {**_FIGURES, "upstream": {"anyOf": [UPSTREAM, {"type": "null"}]}})
_NEW_ACCOUNT = fields({"name": text(pattern="^[A-Za-z0-9_.-]{1,100}$")}, _CHANGE["properties"])
_ACCOUNT = fields(
    {
        "id": STRING,
        "name": STRING,
        "status": text(enum=["active", "suspended"]),
        "created": INTEGER,
        **_FIGURES,
        "instances": INTEGER,
        "tokens": INTEGER,
    }
)
_TOKEN = fields(
    {
        "id": STRING,
        "name": STRING,
        "prefix": text("How it begins; empty where the caller chose it."),
        "kind": text(enum=["account", "instance"]),
        "instance": nullable(STRING),
        "created": INTEGER,
        "last_used": nullable(NUMBER),
        "expires": nullable(NUMBER),
    }
)
_INSTANCE = {"id": STRING, "name": STRING, "status": STRING, "upstream": TOLD_UPSTREAM}
_SESSION = fields({"session": text("What the default upstream calls its session; the operator's word alone.")})
_NEW_INSTANCE = fields(
    {"name": NEW_INSTANCE["properties"]["name"]},
    {**NEW_INSTANCE["properties"], "upstream": {"anyOf": [UPSTREAM, _SESSION, {"type": "null"}]}},
)
_INDICATOR = fields(
    {
        "instance": STRING,
        "account": nullable(STRING),
        "chat": text("The chat's id: the same for the same chat, and no number."),
        "number": text("Its number, masked."),
        "state": STRING,
        "since": NUMBER,
        "ends": nullable(NUMBER),
        "overdue_s": NUMBER,
    }
)
_END = fields(
    {
        **{
            name: _INDICATOR["properties"][name] for name in ("instance", "account", "chat", "number", "state", "since")
        },
        "ended": NUMBER,
        "by": text("What ended it.", enum=["time", "pause", "message", "natural", "replaced"]),
    }
)
_SHOWING = {
    **fields(
        {
            **{name: _INDICATOR["properties"][name] for name in ("state", "since", "ends", "overdue_s")},
            "why": text("Why its pause is late; empty where it is not."),
        }
    ),
    "type": ["object", "null"],
}
_TOLD = fields(
    {
        "state": STRING,
        "since": NUMBER,
        "ended": NUMBER,
        "by": text(
            "What ended it; `failed`: it never showed; `abandoned`: its pause was given up.",
            enum=["time", "pause", "message", "natural", "replaced", "failed", "abandoned"],
        ),
        "asked": nullable({**NUMBER, "description": "Until when it was asked for."}),
        "sent": nullable({**NUMBER, "description": "When the upstream was last told to show it."}),
        "tries": {**INTEGER, "description": "How often its pause failed before."},
        "sure": flag("The upstream said that it acted."),
        "reason": text("Why it came to nothing; empty where it did not."),
    }
)
_CHAT = fields(
    {
        **{name: _INDICATOR["properties"][name] for name in ("instance", "account", "chat", "number")},
        "instance_id": nullable(STRING),
        "showing": _SHOWING,
        "told": items(_TOLD),
    }
)
_TROUBLE = fields(
    {
        "account": STRING,
        "instance": STRING,
        "instance_id": STRING,
        "upstream": TOLD_UPSTREAM,
        "reason": text("What became of the last call that failed, in words."),
        "failed": {**INTEGER, "description": "Calls that failed since the first of them."},
        "since": NUMBER,
        "last": NUMBER,
        "ok": nullable({**NUMBER, "description": "When a call went well after the last failure."}),
        "open": flag("A circuit breaker leaves it alone now."),
    }
)
_FINDING = fields({"check": STRING, "verdict": text(enum=["ok", "bad", "unknown"]), "detail": STRING})
_CAPABILITIES = fields(
    {
        "chats": items(text("A kind of chat that it reaches.", enum=list(ChatKind))),
        "phone_digits": {**INTEGER, "description": "The longest phone number that it takes."},
        "recording": flag("It has a recording indicator."),
        "blocks": flag("Its call answers only when the indicator is over."),
        "own_timer": flag("It pauses by itself after a delay that the call names."),
        "available_first": flag("Its account must be available before anything shows."),
        "answer_s": {**NUMBER, "description": "The longest that a healthy first answer takes."},
        "refresh_s": {**NUMBER, "description": "How often a held indicator is re-sent."},
        "slice_s": {**NUMBER, "description": "How long one call shows, where it blocks."},
    }
)
_UPSTREAM = fields(
    {
        "kind": text("What `upstream.kind` takes."),
        "name": text("What people call it."),
        "capabilities": _CAPABILITIES,
    }
)
_USAGE = fields({"id": STRING, "limit": INTEGER, "used": INTEGER, "reset": INTEGER})
_ENTRY = fields({"id": STRING, "at": NUMBER, "actor": STRING, "action": STRING, "subject": STRING, "detail": STRING})
_CONFIRM = fields({"confirm": text("The name of what will be deleted, again.")})
_GONE = fields({"id": STRING, "status": STRING})
_RESEALED = success({"resealed": INTEGER, "unreadable": items(text("An instance or account that no key opens."))})
_ISSUED = success({"token": _TOKEN, "secret": text("The token itself, shown this once.")})
_ONE_ACCOUNT = success({"account": _ACCOUNT})
_ACCOUNT_PATH = "The account's name or id."
_OF_ACCOUNT = {"account": "Only this account's, by its name or id."}


def _look(name: str, summary: str, needed: dict[str, Schema], **more: Any) -> dict[str, Any]:
    return operation(name, summary, success(needed), refusals=(403, 404, *more.pop("refusals", ())), **more)


def _do(name: str, summary: str, answer: Schema, **more: Any) -> dict[str, Any]:
    return operation(name, summary, answer, refusals=(403, 404, *more.pop("refusals", ())), **more)


_ACCOUNTS = {
    "/admin/session": path(
        {
            "get": _look(
                "session",
                "Say who is asking",
                {"kind": text(enum=["operator", "account"]), "account": {"type": ["object", "null"]}},
            )
        }
    ),
    "/admin/accounts": path(
        {
            "get": _look("listAccounts", "List accounts", {"accounts": items(_ACCOUNT)}),
            "post": _do(
                "createAccount",
                "Make an account and its first token",
                success({"account": _ACCOUNT, "token": STRING}),
                status=201,
                body=_NEW_ACCOUNT,
                refusals=(409,),
            ),
        }
    ),
    "/admin/accounts/{account}": path(
        {
            "patch": _do(
                "changeAccount",
                "Change figures or upstream; null resets",
                _ONE_ACCOUNT,
                body=_CHANGE,
                refusals=(409,),
            ),
            "delete": _do("deleteAccount", "Delete an account", success({"account": _GONE}), body=_CONFIRM),
        },
        account=_ACCOUNT_PATH,
    ),
    "/admin/accounts/{account}/suspend": path(
        {"post": _do("suspendAccount", "Refuse an account's tokens", _ONE_ACCOUNT)}, account=_ACCOUNT_PATH
    ),
    "/admin/accounts/{account}/resume": path(
        {"post": _do("resumeAccount", "Let an account work again", _ONE_ACCOUNT)}, account=_ACCOUNT_PATH
    ),
}
_TOKENS = {
    "/admin/accounts/{account}/tokens": path(
        {
            "get": _look("listTokens", "List an account's tokens", {"tokens": items(_TOKEN)}),
            "post": _do(
                "issueToken",
                "Make one more token",
                _ISSUED,
                status=201,
                body=fields({}, {"name": nullable(STRING)}),
                body_required=False,
            ),
        },
        account=_ACCOUNT_PATH,
    ),
    "/admin/tokens/{token}/rotate": path(
        {"post": _do("rotateToken", "Replace a token", _ISSUED, status=201, body=GRACE, body_required=False)},
        token="The token's id.",  # noqa: S106 - a description
    ),
    "/admin/tokens/{token}": path(
        {"delete": _do("revokeToken", "Revoke a token", success({"token": _GONE}))},
        token="The token's id.",  # noqa: S106 - a description
    ),
}
_INSTANCES = {
    "/admin/accounts/{account}/instances": path(
        {
            "get": _look(
                "listInstancesOfAccount",
                "List an account's instances",
                {"instances": items(fields({**_INSTANCE, "connection": CONNECTION}))},
            ),
            "post": _do(
                "createInstanceOfAccount",
                "Make an instance",
                success({"instance": fields({**_INSTANCE, "token": STRING}), "secret": STRING}),
                status=201,
                body=_NEW_INSTANCE,
                refusals=(409,),
            ),
        },
        account=_ACCOUNT_PATH,
    ),
    "/admin/instances/{instance}": path(
        {
            "patch": _do(
                "moveInstance",
                "Give an instance another upstream; what it owes is paused where it was",
                success({"instance": fields(_INSTANCE)}),
                body=fields({"upstream": UPSTREAM}),
                refusals=(409,),
            ),
            "delete": _do("deleteInstanceById", "Delete an instance", success({"instance": _GONE}), body=_CONFIRM),
        },
        instance="The instance's id.",
    ),
    "/admin/instances/{instance}/token": path(
        {
            "post": _do(
                "rotateTokenOfInstance",
                "Replace an instance's token",
                success({"instance": fields(_INSTANCE), "token": _TOKEN, "secret": STRING}),
                status=201,
                body=GRACE,
                body_required=False,
            )
        },
        instance="The instance's id.",
    ),
}
_CHATS = {
    "/admin/history": path(
        {
            "get": _look(
                "showHistory",
                "List what chats show and were told in the last minutes, numbers masked",
                {"history_s": NUMBER, "showing": INTEGER, "chats": items(_CHAT), "more": INTEGER},
                query={**_OF_ACCOUNT, "chat": "Only this chat's, by its id."},
            )
        }
    ),
    "/admin/chats/find": path(
        {
            "post": _do(
                "findChat",
                "Answer a number's id",
                success({"chat": STRING}),
                body=fields({"number": text("Phone digits or a JID.")}),
            )
        }
    ),
    "/admin/instances/{instance}/chats/{chat}/number": path(
        {
            "post": _do(
                "showNumber", "Answer a chat's number; the audit log says who asked", success({"number": STRING})
            )
        },
        instance="The instance's id.",
        chat="The chat's id.",
    ),
    "/admin/instances/{instance}/chats/{chat}/pause": path(
        {
            "post": _do(
                "pauseChat",
                "Pause a chat's indicator now; the audit log says who did",
                success({"state": STRING}),
                refusals=(400, 501, 502, 504),
            )
        },
        instance="The instance's id.",
        chat="The chat's id.",
    ),
    "/admin/instances/{instance}/doctor": path(
        {
            "post": _do(
                "examineInstance",
                "Follow the way of a presence to its upstream, and say why one did not show",
                success({"answer": STRING, "findings": items(_FINDING)}),
                body=fields({}, {"chat": nullable(text("A chat's id: what became of its last command counts too."))}),
                body_required=False,
            )
        },
        instance="The instance's id.",
    ),
}
_OVERVIEW = {
    "/admin/troubles": path(
        {
            "get": _look(
                "showTroubles",
                "List which upstreams fail and for whom, what else needs a person, and what is owed",
                {
                    "upstreams": items(_TROUBLE),
                    "problems": items(STRING),
                    "owed": INTEGER,
                    "oldest_overdue_s": NUMBER,
                },
                query=_OF_ACCOUNT,
            )
        }
    ),
    "/admin/upstreams": path(
        {"get": _look("listUpstreams", "List the kinds of upstreams", {"upstreams": items(_UPSTREAM)})}
    ),
    "/admin/indicators": path(
        {
            "get": _look(
                "showIndicators",
                "List what shows now, what ended lately and why, and what is owed",
                {"indicators": items(_INDICATOR), "ended": items(_END), "owed": INTEGER, "oldest_overdue_s": NUMBER},
                query=_OF_ACCOUNT,
            )
        }
    ),
    "/admin/usage": path(
        {
            "get": _look(
                "showUsage", "List how much of this minute is used", {"tokens": items(_USAGE)}, query=_OF_ACCOUNT
            )
        }
    ),
    "/admin/audit": path(
        {
            "get": _look(
                "showAudit",
                "List the latest changes",
                {"entries": items(_ENTRY)},
                query={"count": "How many, 1 to 1000; 100 by default."},
                refusals=(400,),
            )
        }
    ),
    "/admin/keys/rotate": path({"post": _do("rotateKeys", "Encrypt credentials under the newest key", _RESEALED)}),
}


def describe() -> dict[str, Any]:
    """Describe the operator's API."""
    schemes = {"token": header("token"), "bearer": BEARER}
    return document(
        "Presence gateway: operator", _ABOUT, schemes, _ACCOUNTS | _TOKENS | _INSTANCES | _CHATS | _OVERVIEW
    )
