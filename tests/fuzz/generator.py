"""One request after the other, of a seed: some right, most wrong in one place or several, some no HTTP at all."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

from fuzz import odd
from fuzz.surface import PAGES, PLAIN, Operation, Port, World

ALWAYS = frozenset({404, 405, 417})
"""What any path may answer, whatever it is: it may be no route, or no method of one, and `Expect` is read first."""

MALFORMED = frozenset({400, 401, 408, 413})
"""What else a request may be answered whose framing or head is broken."""

METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"PROPFIND", b"LINK", b"BREW")
PLACES = ("token", "token", "token", "Authorization", "Authorization", "query")
SCHEMES = (b"Bearer ", b"Bearer ", b"Bearer ", b"bearer  ", b"Basic ", b"Bearer")
ODD_HEADERS = (
    *(
        b"X-Forwarded-For",
        b"X-Request-Id",
        b"traceparent",
        b"tracestate",
        b"Content-Type",
        b"Content-Encoding",
        b"Accept",
    ),
    *(b"Accept-Encoding", b"Cookie", b"Range", b"If-None-Match", b"If-Modified-Since", b"Origin", b"Referer", b"Host"),
    *(b"User-Agent", b"X-HTTP-Method-Override", b"X-Original-URL", b"Forwarded", b"Via", b"Priority", b"token"),
    *(b"Authorization", b"Access-Control-Request-Method", b"Sec-Fetch-Mode", b"Early-Data", b"Prefer", b"TE", b"DNT"),
)


@dataclass(frozen=True)
class Request:
    """What is sent, and what may be answered; a broken one need not be answered at all."""

    port: Port
    route: str
    raw: bytes
    allowed: frozenset[int]
    is_broken: bool = False
    is_head: bool = False


class Generator:
    """Makes requests to `operations` in a world."""

    def __init__(self, world: World, operations: list[Operation], seed: str) -> None:
        self._world = world
        self._operations = operations
        self._dice = random.Random(seed)

    def next(self) -> Request:
        dice = self._dice
        operation = dice.choice(self._operations)
        roll = dice.random()
        if roll < 0.72:
            return self._described(operation)
        if roll < 0.82:
            return self._undescribed(operation.port, dice.choice(METHODS), self._path(operation))
        if roll < 0.92:
            return self._undescribed(operation.port, dice.choice(METHODS[:5]), self._odd_path())
        if roll < 0.95:
            page = dice.choice(PAGES[operation.port])
            raw = self._worded(operation.port, b"GET", page.encode(), b"", [])
            return Request(operation.port, f"GET {page}", raw, ALWAYS | PLAIN)
        return self._not_http(operation)

    def _described(self, operation: Operation) -> Request:
        body = self._body(operation)
        headers = self._odd_headers()
        method, path = operation.method.encode(), self._path(operation)
        name, allowed = f"{operation.method} {operation.path}", operation.statuses | ALWAYS
        names = [line.partition(b":")[0] for line in (b"Host: x", *headers)]
        if len(set(names)) < len(names):
            allowed |= {400}  # some may be there but once
        if self._dice.random() < 0.05:
            raw = self._broken(operation.port, method, path, body, headers)
            return Request(operation.port, name, raw, allowed | MALFORMED, is_broken=True)
        return Request(operation.port, name, self._worded(operation.port, method, path, body, headers), allowed)

    def _undescribed(self, port: Port, method: bytes, path: bytes) -> Request:
        """A method or a path that may be none of a route's: whatever the routes of that path say is allowed."""
        allowed = ALWAYS | PLAIN | MALFORMED | {201, 204, 403, 409, 429, 501, 502, 503, 504}
        raw = self._worded(port, method, path, odd.body(self._dice), self._odd_headers())
        return Request(port, f"{method.decode()} odd", raw, allowed, is_head=method == b"HEAD")

    def _not_http(self, operation: Operation) -> Request:
        dice, allowed = self._dice, operation.statuses | ALWAYS | MALFORMED | PLAIN | {505}
        if dice.random() < 0.5:
            return Request(operation.port, "noise", odd.noise(dice) + b"\r\n\r\n", allowed, is_broken=True)
        worded = self._worded(
            operation.port, operation.method.encode(), self._path(operation), self._body(operation), []
        )
        # What is bitten may be the token's own line, and then its id is any id.
        whole = bytearray(re.sub(rb"X-Request-Id: [^\r]*\r\n", b"", worded))
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(whole))
            whole[at : at + dice.randrange(3)] = odd.noise(dice, 4)
        return Request(operation.port, "bitten", bytes(whole), allowed | {201}, is_broken=True)

    # Paths

    def _path(self, operation: Operation) -> bytes:
        path = operation.path.encode()
        for name in operation.parameters:
            path = path.replace(b"{%b}" % name.encode(), self._named(operation.port, name))
        return path + self._odd_query()

    def _named(self, port: Port, name: str) -> bytes:
        dice, kind = self._dice, f"{port} {name}"
        roll = dice.random() if kind in self._world.known else 1.0
        if roll < 0.6:
            return dice.choice(self._world.known[kind]).encode()
        if roll < 0.72:
            return dice.choice(self._world.foreign[kind]).encode()
        if roll < 0.8:
            return self._world.missing[name].encode()
        return odd.segment(dice) or b"x"

    def _odd_path(self) -> bytes:
        dice = self._dice
        segments = [odd.segment(dice) for _ in range(dice.randrange(5))]
        start = dice.choice(
            (b"/", b"/api/", b"/admin/", b"/api/chat/presence/", b"/console/", b"//", b"/api/instance/")
        )
        return start + b"/".join(segments) + self._odd_query()

    def _odd_query(self) -> bytes:
        dice = self._dice
        if dice.random() < 0.8:
            return b""
        name = dice.choice((b"token", b"instanceName", b"count", b"account", b"x", b"", b"%ff", b"a[]"))
        return (
            b"?"
            + name
            + dice.choice((b"=", b"", b"=="))
            + odd.segment(dice)
            + dice.choice((b"", b"&", b"&token=&token=x"))
        )

    # Heads

    def _odd_headers(self) -> list[bytes]:
        dice = self._dice
        count = dice.choice((0, 0, 0, 1, 1, 2, 4))
        lines = [dice.choice(ODD_HEADERS) + b": " + odd.header_value(dice) for _ in range(count)]
        if dice.random() < 0.02:
            lines.append(b"Expect: " + dice.choice((b"100-continue", b"miracles")))
        return lines

    def _sender(self, port: Port) -> tuple[list[bytes], bytes]:
        """The lines and the query that say who is calling: somebody, nobody, or several at once."""
        dice, lines, query = self._dice, list[bytes](), list[bytes]()
        for _ in range(dice.choice((0, *(1,) * 10, 2))):
            token = self._token(port)
            place = dice.choice(PLACES)
            if place == "token":
                lines.append(b"token: " + token)
            elif place == "Authorization":
                lines.append(b"Authorization: " + dice.choice(SCHEMES) + token)
            else:
                query.append(b"token=" + quote_from_bytes(token, safe="").encode())
            if dice.random() < 0.1:
                lines.append(b"X-Request-Id: " + token)
        return lines, b"&".join(query)

    def _token(self, port: Port) -> bytes:
        dice, roll = self._dice, self._dice.random()
        if roll < 0.85:
            return dice.choice(self._world.tokens(port)).encode()
        if roll < 0.94:
            return dice.choice(self._world.dead_tokens()).encode()
        return bytes(byte for byte in odd.header_value(dice) if byte != 0x20) or b"x"

    def _worded(self, port: Port, method: bytes, path: bytes, body: bytes, headers: list[bytes]) -> bytes:
        sender, query = self._sender(port)
        if query:
            path += (b"&" if b"?" in path else b"?") + query
        head = [b"Host: x", *sender, *headers]
        self._dice.shuffle(head)
        lines = [method + b" " + path + b" HTTP/1.1", *head]
        if not body and method in {b"GET", b"HEAD", b"DELETE", b"OPTIONS"}:
            return b"\r\n".join((*lines, b"", b""))
        if self._dice.random() < 0.85:
            return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))
        return b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", self._chunks(body)))

    def _chunks(self, body: bytes) -> bytes:
        made, step = b"", self._dice.choice((1, 7, 100, 4096))
        for at in range(0, len(body), step):
            part = body[at : at + step]
            made += b"%x\r\n%b\r\n" % (len(part), part)
        return made + b"0\r\n\r\n"

    def _broken(self, port: Port, method: bytes, path: bytes, body: bytes, headers: list[bytes]) -> bytes:
        """A request of which nobody can say where it ends, or that should not be there."""
        dice = self._dice
        sender, query = self._sender(port)
        path += (b"&" if b"?" in path else b"?") + query
        head = b"\r\n".join((method + b" " + path + b" HTTP/1.1", *headers, *sender))
        made = dice.randrange(6)
        if made == 0:
            return head + b"\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(body) + dice.randrange(1, 50)) + body
        if made == 1:
            return head + b"\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + odd.noise(dice) + b"\r\n0\r\n\r\n"
        if made == 2:
            return head + b"\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        if made == 3:
            return head + b"\r\n\r\n" + body
        if made == 4:
            return head + b"\r\nHost: x\r\n" + odd.noise(dice, 60) + b"\r\n\r\n" + body
        return head + b"\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n" + body

    # Bodies

    def _body(self, operation: Operation) -> bytes:
        dice = self._dice
        if operation.body is None:
            return b"" if dice.random() < 0.85 else odd.body(dice)
        if dice.random() < 0.15:
            return odd.body(dice)
        told = self._fitting(operation.body)
        for _ in range(dice.choice((0, 1, 1, 1, 2))):
            told = self._spoilt(told)
        return odd.encoded(dice, told)

    def _fitting(self, schema: Mapping[str, Any], name: str = "") -> Any:
        """A value that the description allows, or nearly; known fields have values that mean something."""
        dice = self._dice
        if name in PLAUSIBLE:
            return dice.choice(PLAUSIBLE[name])
        if "anyOf" in schema:
            return self._fitting(dice.choice(schema["anyOf"]), name)
        if "enum" in schema:
            return dice.choice(schema["enum"])
        kinds = schema.get("type", "string")
        kind = kinds if isinstance(kinds, str) else dice.choice(kinds)
        if kind == "object":
            needed, fields = schema.get("required", ()), schema.get("properties", {})
            return {key: self._fitting(of, key) for key, of in fields.items() if key in needed or dice.random() < 0.5}
        if kind == "array":
            return [self._fitting(schema["items"]) for _ in range(dice.randrange(3))]
        return {"string": "x", "integer": 5, "number": 1.5, "boolean": True}.get(kind)

    def _spoilt(self, told: Any) -> Any:
        """The same with one thing wrong."""
        dice = self._dice
        if not isinstance(told, dict) or not told or dice.random() < 0.1:
            return odd.value(dice)
        key = dice.choice(sorted(told, key=repr))
        if dice.random() < 0.25:
            return {name: kept for name, kept in told.items() if name != key}
        spoilt = self._spoilt(told[key]) if isinstance(told[key], dict) else odd.value(dice)
        return {**told, key: spoilt, **({dice.choice(odd.TEXTS): odd.value(dice)} if dice.random() < 0.1 else {})}


NAMES = tuple(f"n{number}" for number in range(50))
PLAUSIBLE: dict[str, tuple[Any, ...]] = {
    "name": NAMES,
    "confirm": NAMES,
    "number": ("5511999999999", "+55 (11) 99999-9998", "120363042@g.us", "99887766@lid", "status@broadcast"),
    "state": ("typing", "recording", "pause", "paused", "TYPING"),
    "duration": (0, 0, 1, 1, 2),
    "grace": (0, 1, 60, 86400),
    "token": tuple(f"{odd.MARK}-{number}-chosen" for number in range(200)),
    "kind": ("sandbox", "sandbox", "waha", "evolution", "ryzeapi"),
    "url": ("http://127.0.0.1:1", "http://[::1]:1", "http://a..b"),
    "session": ("", "s1", "default"),
    "credential": (f"{odd.MARK}-credential",),
    "per_minute": (1, 100, None),
    "creation_per_minute": (1, 100, None),
    "instances_quota": (1, 100, None),
}
