"""What a request says of its sender: token or key, address, ids. The one place that reads it, and makes it safe to use.

A header may hold any bytes. What comes out of here can be hashed, can be part of a key in Redis, and can be logged.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import web

from gateway.presence import ids
from gateway.process.caps import client_of
from gateway.telemetry import trace

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_READABLE = re.compile(r"[\x21-\x7e]+")
_UNREADABLE = " "
"""Stands for bytes that no token and no key has; nor has either a blank."""

# Nobody's token or phone number: the id is logged.
_SANE_ID = re.compile(r"(?!.*pg[ai]_)(?![0-9]{7,15}\Z)[A-Za-z0-9._:-]{1,128}")
_SHORTEST_TOKEN = 16
_GIVES_AWAY = 8
"""Characters of a token that must not be logged even without the rest."""

_WITH_PORT = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")
_LONGEST = 64


def token_of(request: web.Request) -> str | None:
    """Return the caller's token from the first of the three places that holds one (contract section 2)."""
    given = _in_headers(request) or request.query.get("token")
    return _readable(given) if given else None


def key_of(request: web.Request) -> str | None:
    """Return the key or token of the headers; never of the URL, which ends up in histories and logs."""
    given = _in_headers(request)
    return _readable(given) if given else None


def address_of(request: web.Request, *, trusted_proxies: int) -> str:
    """Return what the sender's address counts as; what a client writes into `X-Forwarded-For` itself is not believed.

    An IPv6 address counts as its network. An entry that is no address is not believed either: the connection's counts.
    """
    peer = _counted_as(request.remote or "")
    if not trusted_proxies:
        return peer
    hops = [hop.strip() for hop in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    chain = [hop for hop in hops if hop] + [peer]
    return _counted_as(chain[max(0, len(chain) - 1 - trusted_proxies)][:_LONGEST]) or peer


def request_id_of(request: web.Request) -> str:
    """Return the id that the caller gave, where it can be nobody's secret or number, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _SANE_ID.fullmatch(given) and not _holds_a_token(request, given) else ids.fresh()


def traceparent_of(request: web.Request) -> str:
    """Return the caller's `traceparent`, '' where there is none or it carries their token."""
    given = request.headers.get(trace.HEADER, "")
    return "" if given and _holds_a_token(request, given) else given


def _in_headers(request: web.Request) -> str | None:
    header = request.headers.get("token")
    if header:
        return header
    bearer = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return bearer[1] if bearer else None


def _readable(given: str) -> str:
    return given if _READABLE.fullmatch(given) else _UNREADABLE


@lru_cache(maxsize=4096)
def _counted_as(text: str) -> str:
    with_port = _WITH_PORT.fullmatch(text)
    host = (with_port[1] or with_port[2]) if with_port else text
    try:
        return client_of(str(ip_address(host.partition("%")[0])))
    except ValueError:
        return ""


def _holds_a_token(request: web.Request, text: str) -> bool:
    """Whether a token that came with the request is in the text, or the text is a telling part of one."""
    said = text.casefold()
    tells = len(said) >= _GIVES_AWAY
    return any(token in said or (tells and said in token) for token in map(str.casefold, _tokens_sent(request)))


def _tokens_sent(request: web.Request) -> Iterator[str]:
    """Yield all that may be a token, in each of the places and however often, not just the one that counts."""
    given = [*request.headers.getall("token", ()), *request.query.getall("token", ())]
    for value in request.headers.getall("Authorization", ()):
        given += value.split()
    yield from (token for token in given if len(token) >= _SHORTEST_TOKEN)
