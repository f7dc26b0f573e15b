"""Tokens: 256 random bits with a prefix that tells the kind and a checksum; Redis only ever sees their HMAC."""

import hashlib
import hmac
import re
import secrets
import zlib
from typing import Literal

Kind = Literal["account", "instance"]

_PREFIX_OF_KIND: dict[Kind, str] = {"account": "pga_", "instance": "pgi_"}
_OURS = re.compile(r"pg[ai]_([0-9a-f]{64})([0-9a-f]{8})")
_CUSTOM = re.compile(r"[\x21-\x7e]{16,256}")
"""A caller's own instance token: printable ASCII without spaces, at least 16 characters (contract section 5)."""


def make(kind: Kind) -> str:
    """Make a new token; it is shown once and kept nowhere."""
    body = _PREFIX_OF_KIND[kind] + secrets.token_hex(32)
    return body + _checksum(body)


def is_plausible(token: str) -> bool:
    """Tell without I/O whether the token could exist: a typo in one of ours never reaches Redis."""
    if token.startswith(("pga_", "pgi_")):
        return bool(_OURS.fullmatch(token)) and hmac.compare_digest(_checksum(token[:-8]), token[-8:])
    return bool(_CUSTOM.fullmatch(token))


def is_acceptable(token: str) -> bool:
    """Tell whether a caller may choose this as an instance's token: not one that looks like ours."""
    return bool(_CUSTOM.fullmatch(token)) and not token.startswith(("pga_", "pgi_"))


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


class TokenHasher:
    """HMAC-SHA256 under the installation's pepper: a stolen Redis dump authenticates nobody."""

    def __init__(self, pepper: bytes) -> None:
        """Keep the pepper; every process of an installation needs the same one."""
        self._keyed = hmac.new(pepper, digestmod=hashlib.sha256)

    def __call__(self, token: str) -> str:
        """Return the hash under which the token's record is stored, in hex."""
        # A copy of one that has read the key already: to make one anew asks OpenSSL for its algorithm each time.
        keyed = self._keyed.copy()
        keyed.update(token.encode())
        return keyed.hexdigest()
