"""What of a request and of an answer travels end to end; the rest speaks of one connection, or of who is on it."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote_plus

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.upstreams.starring import Stars

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_OURS_TO_SAY = _HOP_BY_HOP | {
    # Exchanged for the upstream's credential, which a client that names it in `Connection` cannot take out again.
    "token",
    "authorization",
    # About our own connection and its body.
    "host",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "expect",
    # Other ways to name a host, a client or a path, which some servers believe.
    "forwarded",
    "x-real-ip",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
}
_NOT_OF_THE_ANSWER = _HOP_BY_HOP | {
    "x-request-id",
    # About the upstream's own address, not about what it answered.
    "alt-svc",
    "strict-transport-security",
}
_OURS_TO_SAY_PREFIXES = ("x-forwarded-", "sec-websocket-")
_NOT_OF_THE_ANSWER_PREFIXES = ("x-ratelimit-", "sec-websocket-")

_DECODED = {"gzip", "deflate", "br", "zstd"}
"""What our server undoes by itself as it reads a body."""

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


def request_headers(given: Headers, credential: Mapping[str, str]) -> CIMultiDict[str]:
    """Return the headers that an upstream is asked with: the caller's own, and `credential` in place of theirs."""
    kept = CIMultiDict(_kept(given, _OURS_TO_SAY, _OURS_TO_SAY_PREFIXES))
    if not is_decoded(given):
        kept.extend((name, value) for name, value in given.items() if name.lower() == "content-encoding")
    # A secret cannot be starred out of what is compressed.
    kept["Accept-Encoding"] = "identity"
    kept.update(credential)
    return kept


def is_decoded(given: Headers) -> bool:
    """Whether the body that came with these headers reaches us without its encoding, and so in another length."""
    return given.get("Content-Encoding", "").lower() in _DECODED


def answer_headers(given: Headers, stars: Stars, *, with_limit: bool = False) -> CIMultiDict[str]:
    """Return the headers of an upstream's answer that are given on; those of its limit where they are meant."""
    prefixes = _NOT_OF_THE_ANSWER_PREFIXES[1:] if with_limit else _NOT_OF_THE_ANSWER_PREFIXES
    return CIMultiDict((name, stars.text(value)) for name, value in _kept(given, _NOT_OF_THE_ANSWER, prefixes))


def query_without_token(raw: str) -> str:
    """Return a raw query as it came, but for every parameter that is read as `token`."""
    kept = "&".join(part for part in raw.split("&") if unquote_plus(part.partition("=")[0]).lower() != "token")
    return kept if kept.isascii() else quote(kept.encode(errors="surrogateescape"), safe=_VISIBLE)


def _kept(given: Headers, dropped: set[str], prefixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    named = {name.strip().lower() for value in given.getall("Connection", ()) for name in value.split(",")}
    for name, value in given.items():
        # Some servers read an underscore as a dash.
        known = name.lower().replace("_", "-")
        if known not in dropped and known not in named and not known.startswith(prefixes) and _can_be_sent(value):
            yield name, value


def _can_be_sent(value: str) -> bool:
    """Whether a header's value is text; bytes that are none could not be written again as they came."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
