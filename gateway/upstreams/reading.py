"""Reads the JSON of upstreams whose builds differ in letter case and in shape: values, chats, times, content."""

from datetime import datetime
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
    # Most values hold no others: asking here saves a call for each of them.
    if isinstance(value, dict):
        return {
            key.lower(): _lower_keys(item) if isinstance(item, dict | list) else item for key, item in value.items()
        }
    if isinstance(value, list):
        return [_lower_keys(item) if isinstance(item, dict | list) else item for item in value]
    return value


_MOST_HOLDERS = 2_000
_MOST_VALUES = 20_000
"""Objects and lists, and values, that the event of one message may have: 7 ms of everybody's time, as measured."""


def event(body: bytes) -> dict[str, Any] | None:
    """A webhook's body as JSON with every key lower-cased, or None where it is no JSON object.

    One that no message could have made, for the many values in it, is an object without any: reading it would hold up
    everybody else.
    """
    if body.count(b"{") + body.count(b"[") > _MOST_HOLDERS or body.count(b",") > _MOST_VALUES:
        return {} if _is_object(body) else None
    read = decode(body)
    return read if isinstance(read, dict) else None


def _is_object(body: bytes) -> bool:
    try:
        # As text: the decoder does not look at the bytes of what it does not make.
        _object.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


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


_MILLISECONDS_FROM = 1e11
_MICROSECONDS_FROM = 1e14
_NO_INSTANT_FROM = 1e17
_LONGEST_INSTANT = 40


def instant(value: Any) -> float | None:
    """A time in Unix seconds, of a number (seconds, their thousandths or millionths) or of ISO 8601 with an offset.

    None where it is neither. A number may be text, or the two halves of one that JavaScript could not hold (`low`).
    """
    match value:
        case bool():
            return None
        case int() | float():
            return _seconds(value)
        case str():
            return _instant_of(value[: _LONGEST_INSTANT + 1])
        case {"low": int() as low}:
            return _seconds(low)
    return None


def _seconds(number: float) -> float | None:
    if not 0 < number < _NO_INSTANT_FROM:
        return None
    return number / (1e6 if number >= _MICROSECONDS_FROM else 1e3 if number >= _MILLISECONDS_FROM else 1)


def _instant_of(text: str) -> float | None:
    if len(text) > _LONGEST_INSTANT:
        return None
    try:
        return _seconds(int(text)) if text.isdecimal() else _of_iso(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _of_iso(when: datetime) -> float | None:
    # Without an offset it is the time of nobody knows where.
    return None if when.tzinfo is None else _seconds(when.timestamp())


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
