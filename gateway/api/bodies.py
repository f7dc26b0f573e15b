"""JSON to values: what leaves here is checked, and no dict goes further."""

import asyncio
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Meta

from gateway.presence.errors import (
    BodyTooSlow,
    InvalidBody,
    InvalidDuration,
    InvalidState,
    NumberRequired,
    StateRequired,
)
from gateway.presence.model import MAX_DURATION_S, STATE_OF_WORD, Chat, State

T = TypeVar("T")

WHOLE = {"type": ["integer", "null"]}
"""What a number must be that is read as any: JSON has one kind of number, and `5.0` is as whole as `5`."""

GivenNumber: TypeAlias = Annotated[str | None, Meta(description="Phone digits or a JID.")]
"""Whom a caller names."""


class PresenceCommand(msgspec.Struct, frozen=True):
    """A checked presence command; `asked` is the state as it was written, lower-cased."""

    chat: Chat
    state: State
    asked: str
    duration_s: int
    hold: bool = False


class PresenceFields(msgspec.Struct, frozen=True):
    """A presence command as a caller writes it."""

    number: GivenNumber = None
    state: Annotated[str | None, Meta(description="`typing`, `recording`, `pause` or `paused`, in any case.")] = None
    duration: Annotated[
        int | float | None,
        Meta(
            description="Seconds until the automatic pause: 60 at the most, 600 with `hold`.", extra_json_schema=WHOLE
        ),
    ] = None
    hold: Annotated[bool | None, Meta(description="Held until the message is sent.")] = None


_BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
_BROKEN = (HttpProcessingError, web.RequestPayloadError, ConnectionError)

_presence_fields = msgspec.json.Decoder(PresenceFields)


async def read(request: web.Request, timeout_s: float) -> bytes:
    """Read the whole body, bounded in size by the server and in time by `timeout_s`.

    Raises:
        BodyTooSlow: it did not arrive in time.
        InvalidBody: its transfer or content encoding is broken, or it breaks off with the connection.
    """
    body = at_hand(request)
    if body is not None:
        return body
    try:
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise BodyTooSlow from None
    except _BROKEN:
        raise InvalidBody from None


def at_hand(request: web.Request) -> bytes | None:
    """Return the body where all of it came with the head, as most do, and None where there is something to wait for.

    Raises:
        InvalidBody: its transfer or content encoding is broken.
    """
    body = request.get(_BODY)
    content = request.content
    # A body that is too long is refused by whoever reads it piece by piece.
    if body is None and content.is_eof() and content.total_bytes <= request.client_max_size:
        try:
            body = request[_BODY] = content.read_nowait()
        except _BROKEN:
            raise InvalidBody from None
    return body


def presence(body: bytes, hold_max_s: int) -> PresenceCommand:
    """Read the body of `POST /api/chat/presence/{instance}`; its checks run in the contract's order.

    What is held lasts up to `hold_max_s`, and so long where no duration is given: it ends with the message.

    Raises:
        BadRequest: with the message of contract section 4.
    """
    fields = decode(_presence_fields, body)
    duration = whole(fields.duration or 0)
    if not fields.number:
        raise NumberRequired
    if not fields.state:
        raise StateRequired
    asked = fields.state.lower()
    state = STATE_OF_WORD.get(asked)
    if state is None:
        raise InvalidState
    chat = Chat.parse(fields.number)
    if state is State.PAUSED:
        return PresenceCommand(chat, state, asked, 0)
    if duration < 0:
        raise InvalidDuration
    if fields.hold:
        return PresenceCommand(chat, state, asked, min(duration or hold_max_s, hold_max_s), hold=True)
    return PresenceCommand(chat, state, asked, min(duration, MAX_DURATION_S))


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Read a body as `decoder` says; unknown fields are ignored.

    Raises:
        InvalidBody: it is no JSON of that shape.
    """
    try:
        # As text first: the decoder does not look at the bytes of fields it skips.
        return decoder.decode(body.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidBody from None


def whole(number: float) -> int:
    """Return a number as an integer; JSON has one kind of number: `5.0` is as whole as `5`.

    Raises:
        InvalidBody: it has a fraction.
    """
    if number != int(number):
        raise InvalidBody
    return int(number)
