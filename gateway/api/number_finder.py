"""Finds to whom a message goes while its body streams by, holding no more of it than its outline.

A body is long because of its media: one string of megabytes. In the outline each long string is an empty one, so that
what is left is small, and read as a whole by the decoder that reads every other body of ours.
"""

import re

import msgspec

from gateway.presence.errors import InvalidNumber
from gateway.presence.model import Chat

OUTLINE_BYTES = 32 * 1024
"""The longest outline; a body with more than this beside its long strings is no message that anybody writes."""

_LONG_BYTES = 512
"""A number has at most 64 characters, each of at most 6 bytes."""

_INSIDE = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)


class _Recipient(msgspec.Struct, frozen=True):
    # Some routes of RyzeAPI know the recipient by its other name (its documentation, "Messages: overview").
    number: object = None
    to: object = None


_recipient = msgspec.json.Decoder(_Recipient)


class NumberFinder:
    """Looks at one body as its pieces pass."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._outline = bytearray()
        self._is_lost = False
        self._is_inside = False
        self._is_escaped = False
        self._is_long = False
        self._string = bytearray()

    def feed(self, piece: bytes) -> None:
        """Look at the next piece."""
        at = 0
        while at < len(piece) and not self._is_lost:
            at = self._through_string(piece, at) if self._is_inside else self._to_string(piece, at)

    def chat(self) -> Chat | None:
        """Return whom the body names, once all of it has passed; None where it names nobody."""
        if self._is_lost:
            return None
        try:
            found = _recipient.decode(self._outline.decode())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        number = found.number or found.to
        try:
            return Chat.parse(number) if isinstance(number, str) else None
        except InvalidNumber:
            return None

    def _to_string(self, piece: bytes, at: int) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote + 1
        self._keep(piece[at:end])
        self._is_inside = quote >= 0
        return end

    def _through_string(self, piece: bytes, at: int) -> int:
        end = at + 1 if self._is_escaped else _end_of_string(piece, at)
        self._is_escaped = False
        self._hold(piece[at:end])
        if end == len(piece):
            return end
        if piece[end] == ord('"'):
            self._keep(bytes(self._string) + b'"')
            self._string.clear()
            self._is_inside = self._is_long = False
        elif piece[end] == ord("\\") and end + 1 == len(piece):
            self._hold(b"\\")
            self._is_escaped = True
        else:
            return end
        return end + 1

    def _hold(self, part: bytes) -> None:
        """Hold a string until its end, unless it is a long one."""
        if self._is_long:
            return
        self._string += part
        if len(self._string) > _LONG_BYTES:
            self._is_long = True
            self._string.clear()

    def _keep(self, part: bytes) -> None:
        self._outline += part
        if len(self._outline) > OUTLINE_BYTES:
            self._is_lost = True
            self._outline.clear()


def _end_of_string(piece: bytes, at: int) -> int:
    """Return where the string's closing quote is, or the backslash that the piece ends with, or the piece's end."""
    quote = piece.find(b'"', at)
    end = len(piece) if quote < 0 else quote
    # Searching for a byte is many times faster than matching, and media has no escapes.
    if piece.find(b"\\", at, end) < 0:
        return end
    found = _INSIDE.match(piece, at)
    assert found is not None
    return found.end()
