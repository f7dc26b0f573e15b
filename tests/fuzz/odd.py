"""Odd values: what bodies, headers and paths are made of where they are not made of what belongs there."""

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

MARK = "s3cr3t-mark"
"""In every secret that is made up here, so that a log can be searched for all of them."""

NUMBERS: tuple[Any, ...] = (0, -1, 61, 2**31, 2**63, 2**64, 10**30, 1.5, -0.0, 1e308, float("inf"), float("nan"), 0.1)
TEXTS: tuple[str, ...] = (
    *("", " ", "\x00", "\n", "a\r\nX: y", "\ud83d", "\ud800\udc00", "\u202e", "\u2028", "\N{ARABIC-INDIC DIGIT THREE}"),
    *("null", "true", "__proto__", "' OR 1=1 --", "{{7*7}}", "${jndi:ldap://x}", "%s%n", "../../etc/passwd", "%00"),
    *("a" * 100, "a" * 101, "a" * 5000, "typing", "5511999999999", "5511999999999:12@s.whatsapp.net", "1@g.us", "@lid"),
    *(
        "http://127.0.0.1",
        "http://a..b",
        "http://xn--.x",
        "http://[::1",
        "http://[v1.x]",
        "file:///",
        "https://x:99999",
    ),
    *(
        "pga_",
        "pgi_" + "0" * 72,
        "\N{FULLWIDTH DIGIT ONE}" * 11,
        "\N{CYRILLIC SMALL LETTER TE}yping",
        "i\N{COMBINING DOT ABOVE}",
    ),
)


def value(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    roll = dice.random()
    if roll < 0.35:
        return dice.choice(TEXTS)
    if roll < 0.6:
        return dice.choice(NUMBERS)
    if roll < 0.75 or depth > 3:
        return dice.choice((None, True, False))
    if roll < 0.88:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(TEXTS): value(dice, depth + 1) for _ in range(dice.randrange(4))}


def encoded(dice: random.Random, told: Any) -> bytes:
    """A value as JSON, in one of the ways to write it."""
    if dice.random() < 0.1:
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return json.dumps(told, indent=dice.choice((None, None, 1))).encode()


def noise(dice: random.Random, most: int = 200) -> bytes:
    return dice.randbytes(dice.randrange(most))


def body(dice: random.Random) -> bytes:
    """What is no body for anything."""
    return dice.choice(_BODIES)(dice)


_TWICE = b'{"number": "1", "number": "2", "state": "typing", "state": 1}'
_SMALL = (b"", b" ", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"{}{}", b"{'a': 1}", b'{"a": 1,}', b"\x00", _TWICE)
_BODIES: tuple[Callable[[random.Random], bytes], ...] = (
    noise,
    lambda dice: b"[" * dice.choice((10, 1000, 4000)),
    lambda dice: b'{"a":' * dice.choice((10, 800)) + b"1",
    lambda dice: b'{"duration": 1' + b"0" * dice.choice((20, 400, 4000)) + b"}",
    lambda dice: dice.choice(_SMALL),
    lambda dice: encoded(dice, value(dice)) * dice.choice((1, 2, 50)),
    lambda dice: encoded(dice, value(dice))[: dice.randrange(40)],
)


def segment(dice: random.Random) -> bytes:
    """Bytes for one segment of a path."""
    made = dice.randrange(4)
    if made == 0:
        return quote_from_bytes(noise(dice, 30), safe="").encode()
    if made == 1:
        return quote_from_bytes(dice.choice(TEXTS).encode("utf-8", "surrogatepass"), safe="")[:300].encode()
    if made == 2:
        return dice.choice(
            (b"..", b"%2e%2e", b".", b"%2f", b"%00", b"%", b"%zz", b"a%20b", b"a+b", b";x=1", b"~", b"%ff")
        )
    return bytes(dice.choice(b"abcXYZ019-_.~!$&'()*+,;=:@") for _ in range(dice.randrange(1, 130)))


def header_value(dice: random.Random) -> bytes:
    """Bytes that a header may hold."""
    made = dice.randrange(4)
    if made == 0:
        return bytes(byte for byte in noise(dice, 60) if byte >= 0x20 and byte != 0x7F)
    if made == 1:
        text = dice.choice(TEXTS).encode("utf-8", "surrogatepass")
        return bytes(byte for byte in text if byte >= 0x20)[:400]
    if made == 2:
        return dice.choice(
            (b"", b",", b";", b'"', b"0", b"-1", b"*", b"\xff", b"\xed\xa0\x80", b"a" * 4000, b"\x80" * 50)
        )
    return dice.choice(
        (b"6.6.6.6", b"::1", b"1.2.3.4, \xff", b"[::1]:1", b"fe80::1%\xff", b"unknown", b"bytes=0-", b"gzip")
    )
