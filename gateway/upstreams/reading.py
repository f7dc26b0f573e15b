"""Reads the JSON of upstreams whose builds differ in letter case and in shape: values by path, chats, and content."""

from typing import Any

import msgspec

from gateway.presence.errors import InvalidNumber
from gateway.presence.model import Chat


def decode(body: bytes) -> Any:
    """The body as JSON with every key lower-cased, or None where it is not JSON."""
    try:
        return _lower_keys(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lower_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key).lower(): _lower_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lower_keys(item) for item in value]
    return value


def at(value: Any, *path: str | int) -> Any:
    """The value at `path` (lower-case keys, list indexes) in decoded JSON, or None."""
    for step in path:
        match value:
            case dict():
                value = value.get(step)
            case list() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                return None
    return value


def chats(*jids: Any) -> tuple[Chat, ...]:
    """The chats among these values, each once; a status broadcast is no chat that could show an indicator."""
    return tuple(dict.fromkeys(chat for jid in jids if (chat := _chat(jid)) is not None))


def _chat(jid: Any) -> Chat | None:
    try:
        chat = Chat.parse(jid) if isinstance(jid, str) else None
    except InvalidNumber:
        return None
    return None if chat is None or chat.server == "broadcast" else chat


def lid(value: Any) -> str | None:
    """A field that holds a LID, as a JID: upstreams write it with no server, or with that of phones."""
    return f"{value.partition('@')[0]}@lid" if isinstance(value, str) else None


NO_CONTENT = frozenset(
    {
        "base64",
        "editedmessage",
        "enceventresponsemessage",
        "encreactionmessage",
        "fastratchetkeysenderkeydistributionmessage",
        "keepinchatmessage",
        "messagecontextinfo",
        "pininchatmessage",
        "pollupdatemessage",
        "protocolmessage",
        "reaction",
        "reactionmessage",
        "secretencryptedmessage",
        "senderkeydistributionmessage",
        "stickersyncrmrmessage",
    }
)
"""Parts of WhatsApp's own message (WAWebProtobufsE2E.proto, `Message`) that put no new bubble into the chat."""


def is_content(message: Any) -> bool:
    """Whether WhatsApp's own message, as whatsmeow and Baileys hand it on, puts a new bubble into the chat."""
    return isinstance(message, dict) and any(
        part not in NO_CONTENT and content is not None for part, content in message.items()
    )


_NOTICES = frozenset(
    {
        "broadcast_notification",
        "call_log",
        "ciphertext",
        "debug",
        "e2e_notification",
        "gp2",
        "group_notification",
        "notification",
        "notification_template",
        "protocol",
        "reaction",
        "revoked",
    }
)
"""Types of WhatsApp Web's messages (whatsapp-web.js, Constants.js, `MessageTypes`) that nobody wrote."""

_FAILED = -1
"""`MessageAck.ACK_ERROR` of WhatsApp Web: it was not sent."""


def is_web_content(message: Any) -> bool:
    """Whether a message as WhatsApp Web models it (`type`, `ack`) was written by somebody and not refused."""
    return str(at(message, "type")).lower() not in _NOTICES and at(message, "ack") != _FAILED
