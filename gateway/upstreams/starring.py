"""Stars a secret out of bytes that stream by, in each form in which a usual encoder writes it.

Every byte becomes a `*`, so that lengths stay as they were announced, and an escape inside a JSON string leaves a
string. Pieces give the same as the whole, however it was cut: what may be the beginning of a secret waits for the rest.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

_STAR = b"*"
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}  # as Go's encoder writes them


class Stars:
    """One secret, and the forms in which it is looked for; an empty one is found nowhere."""

    def __init__(self, secret: str) -> None:
        """Look for `secret` as it is, JSON-escaped and percent-encoded."""
        # The longest first: where two forms begin alike, the longer one is what was written.
        self._forms = sorted(_forms(secret), key=len, reverse=True) if secret else []
        self._pattern = re.compile(b"|".join(re.escape(form) for form in self._forms))
        self._longest = max(map(len, self._forms), default=1)

    def whole(self, data: bytes) -> bytes:
        """Star out of something that is all there."""
        if not self.are_in(data):
            return data
        return self._pattern.sub(lambda found: _STAR * len(found[0]), data)

    def text(self, value: str) -> str:
        """Star out of a header's value."""
        return self.whole(value.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def stream(self) -> "StarStream":
        """Begin to star out of something that comes in pieces."""
        return StarStream(self)

    def are_in(self, data: bytes) -> bool:
        """Whether there is anything to star; a search for plain bytes is many times faster than for a pattern."""
        return any(form in data for form in self._forms)

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Star out what is decided, and return behind it what may be the beginning of a form."""
        beginnings = self._beginnings(data)
        if not beginnings and not self.are_in(data):
            return data, b""
        starred: list[bytes] = []
        done = 0
        for found in self._pattern.finditer(data) if self._forms else ():
            # An earlier beginning that turns out to be a secret would take some of this one's bytes.
            if found.start() >= _first(beginnings, done, len(data)):
                break
            starred += data[done : found.start()], _STAR * len(found[0])
            done = found.end()
        decided = _first(beginnings, done, len(data))
        return b"".join((*starred, data[done:decided])), data[decided:]

    def _beginnings(self, data: bytes) -> list[int]:
        """Return where a form begins whose end would lie behind the data."""
        size = len(data)
        ends = ((at, data[at:]) for at in range(max(0, size - self._longest + 1), size))
        return [at for at, end in ends if any(form.startswith(end) and form != end for form in self._forms)]


@lru_cache(maxsize=1024)
def stars_of(secret: str) -> Stars:
    """Return the stars of a secret, whose forms are worked out once: every answer of an instance has the same."""
    return Stars(secret)


class StarStream:
    """One stream of pieces."""

    def __init__(self, stars: Stars) -> None:
        """Hold nothing back yet."""
        self._stars = stars
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what may be handed on now."""
        decided, self._held = self._stars.split(self._held + piece if self._held else piece)
        return decided

    def end(self) -> bytes:
        """Return what was held back: nothing follows it."""
        held, self._held = self._held, b""
        return self._stars.whole(held)


def _first(positions: list[int], least: int, otherwise: int) -> int:
    return next((at for at in positions if at >= least), otherwise)


def _forms(secret: str) -> set[bytes]:
    return {form.encode(errors="surrogateescape") for form in (secret, *_json_forms(secret), *_percent_forms(secret))}


def _json_forms(secret: str) -> Iterator[str]:
    for is_ascii in (False, True):
        escaped = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
        yield "".join(_HTML.get(sign, sign) for sign in escaped)


def _percent_forms(secret: str) -> Iterator[str]:
    encoded = secret.encode(errors="surrogateescape")
    for form in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form)
