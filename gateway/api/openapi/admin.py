"""What the operator's API is, as OpenAPI."""

from typing import Any

from gateway.api.admin import answers, chat_answers
from gateway.api.admin.bodies import AccountFields, ChatFields, ConfirmFields, MoveFields, NameFields, NumberFields
from gateway.api.instance_bodies import GraceFields, InstanceFields
from gateway.api.openapi.words import BEARER, Refusal, Schema, document, header, operation, part, schema
from gateway.presence import errors

_ABOUT = (
    "Tenants, their tokens and their instances, for the operator. An account's token works here too, on what is that "
    "account's; then looks count in a minute of their own, and changes against its limit. Every change is audited."
)


_OF_ACCOUNT = {"account": "Only this account's, by its name or id."}
_OF_CHAT = (errors.InstanceNotFound, errors.ChatNotFound)
_CHAT_ID = "0123456789abcdef"
_GRACE = {"For an hour both work": {"grace": 3600}}


def _do(name: str, summary: str, answer: type, *refusals: Refusal, **more: Any) -> Schema:
    gate = (errors.MissingKey, errors.InvalidKey, errors.AdminOff, errors.OperatorOnly, errors.AccountNotFound)
    return operation(name, summary, answer, *gate, *refusals, **more)


_ACCOUNTS = {
    "GET /admin/session": _do("session", "Say who is asking", answers.Session),
    "GET /admin/accounts": _do("listAccounts", "List accounts", answers.Accounts),
    "POST /admin/accounts": _do(
        "createAccount",
        "Make an account and its first token",
        answers.NewAccount,
        *(errors.InvalidAccountName, errors.InvalidFigure, errors.InvalidUpstream, errors.EncryptionOff),
        *(errors.Conflict("Account already exists"), errors.Conflict),
        status=201,
        body=schema(AccountFields, "name"),
        bodies={"Plain": {"name": "acme"}, "With a limit": {"name": "acme", "per_minute": 500}},
    ),
    "PATCH /admin/accounts/{account}": _do(
        "changeAccount",
        "Change figures or upstream; null resets",
        answers.OneAccount,
        *(errors.InvalidFigure, errors.InvalidUpstream, errors.EncryptionOff, errors.Conflict, errors.ChangedMeanwhile),
        body=schema(AccountFields),
        bodies={"Raise a limit": {"per_minute": 500}, "Reset it": {"per_minute": None}},
    ),
    "DELETE /admin/accounts/{account}": _do(
        "deleteAccount",
        "Delete an account",
        answers.AccountDeleted,
        errors.ConfirmationNeeded,
        body=schema(ConfirmFields, "confirm"),
    ),
    "POST /admin/accounts/{account}/suspend": _do("suspendAccount", "Refuse an account's tokens", answers.OneAccount),
    "POST /admin/accounts/{account}/resume": _do("resumeAccount", "Let an account work again", answers.OneAccount),
}
_TOKENS = {
    "GET /admin/accounts/{account}/tokens": _do("listTokens", "List an account's tokens", answers.Tokens),
    "POST /admin/accounts/{account}/tokens": _do(
        "issueToken",
        "Make one more token",
        answers.NewToken,
        *(errors.InvalidLabel, errors.TokenQuotaExceeded),
        status=201,
        body=schema(NameFields),
        body_required=False,
        bodies={"Named": {"name": "crm"}},
    ),
    "POST /admin/tokens/{token}/rotate": _do(
        "rotateToken",
        "Replace a token",
        answers.NewToken,
        *(errors.InvalidGrace, errors.TokenQuotaExceeded, errors.TokenNotFound),
        status=201,
        body=schema(GraceFields),
        body_required=False,
        bodies=_GRACE,
    ),
    "DELETE /admin/tokens/{token}": _do("revokeToken", "Revoke a token", answers.TokenRevoked, errors.TokenNotFound),
}
_INSTANCES = {
    "GET /admin/accounts/{account}/instances": _do(
        "listInstancesOfAccount", "List an account's instances", answers.Instances
    ),
    "POST /admin/accounts/{account}/instances": _do(
        "createInstanceOfAccount",
        "Make an instance",
        answers.InstanceCreated,
        *(errors.NameRequired, errors.InvalidName, errors.InvalidOwnToken, errors.InvalidUpstream),
        *(errors.UpstreamNotAllowed, errors.QuotaExceeded, errors.EncryptionOff),
        *(errors.Conflict, errors.Conflict("Token already in use"), errors.ChangedMeanwhile),
        status=201,
        body=schema(InstanceFields, "name"),
        bodies={"On the default upstream": {"name": "sales"}},
    ),
    "PATCH /admin/instances/{instance}": _do(
        "moveInstance",
        "Give an instance another upstream; what it owes is paused where it was",
        answers.OneInstance,
        *(
            errors.InvalidUpstream,
            errors.EncryptionOff,
            errors.InstanceNotFound,
            errors.Conflict,
            errors.ChangedMeanwhile,
        ),
        body=schema(MoveFields),
        bodies={"To WAHA": {"upstream": {"kind": "waha", "url": "http://waha.internal:3000"}}},
    ),
    "DELETE /admin/instances/{instance}": _do(
        "deleteInstanceById",
        "Delete an instance",
        answers.InstanceDeleted,
        *(errors.ConfirmationNeeded, errors.InstanceNotFound),
        body=schema(ConfirmFields, "confirm"),
    ),
    "POST /admin/instances/{instance}/token": _do(
        "rotateTokenOfInstance",
        "Replace an instance's token",
        answers.TokenRotated,
        *(errors.InvalidGrace, errors.InstanceNotFound),
        status=201,
        body=schema(GraceFields),
        body_required=False,
        bodies=_GRACE,
    ),
}
_CHATS = {
    "GET /admin/history": _do(
        "showHistory",
        "List what chats show and were told in the last minutes, numbers masked",
        chat_answers.History,
        query={**_OF_ACCOUNT, "chat": "Only this chat's, by its id."},
    ),
    "POST /admin/chats/find": _do(
        "findChat",
        "Answer a number's id",
        chat_answers.FoundChat,
        *(errors.NumberRequired, errors.InvalidNumber),
        body=schema(NumberFields, "number"),
        bodies={"A phone": {"number": "5511999999999"}},
    ),
    "POST /admin/instances/{instance}/chats/{chat}/number": _do(
        "showNumber",
        "Answer a chat's number; the audit log says who asked",
        chat_answers.Number,
        *_OF_CHAT,
    ),
    "POST /admin/instances/{instance}/chats/{chat}/pause": _do(
        "pauseChat",
        "Pause a chat's indicator now; the audit log says who did",
        chat_answers.PausedChat,
        *(*_OF_CHAT, errors.InvalidNumber, errors.StateUnsupported("paused"), errors.UpstreamRejected),
        *(errors.InstanceNotConnected, errors.UpstreamSilent),
    ),
    "POST /admin/instances/{instance}/doctor": _do(
        "examineInstance",
        "Follow the way of a presence to its upstream, and say why one did not show",
        chat_answers.Diagnosis,
        *_OF_CHAT,
        body=schema(ChatFields),
        body_required=False,
        bodies={"Of a chat": {"chat": _CHAT_ID}},
    ),
}
_OVERVIEW = {
    "GET /admin/troubles": _do(
        "showTroubles",
        "List which upstreams fail and for whom, what else needs a person, and what is owed",
        chat_answers.Troubles,
        query=_OF_ACCOUNT,
    ),
    "GET /admin/upstreams": _do("listUpstreams", "List the kinds of upstreams", answers.Upstreams),
    "GET /admin/indicators": _do(
        "showIndicators",
        "List what shows now, what ended lately and why, and what is owed",
        chat_answers.Indicators,
        query=_OF_ACCOUNT,
    ),
    "GET /admin/usage": _do("showUsage", "List how much of this minute is used", answers.Usage, query=_OF_ACCOUNT),
    "GET /admin/audit": _do(
        "showAudit",
        "List the latest changes",
        answers.Entries,
        errors.InvalidFigure,
        query={"count": "How many, 1 to 1000; 100 by default."},
    ),
    "POST /admin/keys/rotate": _do("rotateKeys", "Encrypt credentials under the newest key", answers.Resealed),
}


def describe() -> dict[str, Any]:
    """Describe the operator's API."""
    groups = {
        "Accounts": _ACCOUNTS,
        "Tokens": _TOKENS,
        "Instances": _INSTANCES,
        "Chats": _CHATS,
        "Overview": _OVERVIEW,
    }
    parts = {
        "account": part("account", "The account's name or id.", "demo"),
        "token": part("token", "The token's id.", "t0123456789ab"),
        "instance": part("instance", "The instance's id.", "i0123456789ab"),
        "chat": part("chat", "The chat's id.", _CHAT_ID),
    }
    return document("Presence gateway: operator", _ABOUT, {"token": header("token"), "bearer": BEARER}, groups, parts)
