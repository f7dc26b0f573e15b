"""Which upstreams a tenant may name: the operator's origins, or, where allowed, any public address.

What an operator chose is trusted. A tenant's own is checked when it is given and again at every connection, since a
name may resolve to another address by then.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Literal

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from gateway.presence.errors import UpstreamNotAllowed
from gateway.presence.model import Target, is_base_url

_RESOLVE_S = 3.0

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Forms in which an IPv6 address carries an IPv4 one to a gateway that we do not control: NAT64, 6to4, Teredo,
# IPv4-compatible; the relays of 6to4; and site-local and an example's network, which some Pythons call global.
_CARRIERS = [
    ipaddress.ip_network(block)
    for block in (
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "::/96",
        "192.88.99.0/24",
        "fec0::/10",
        "3fff::/20",
    )
]


class AddressRefused(OSError):
    """The name resolves to an address that tenants may not reach."""


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet could mean."""
    try:
        ip: _Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return is_public(str(ip.ipv4_mapped))
    if any(ip in block for block in _CARRIERS):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def literal_of(host: str) -> str | None:
    """Return the IP address that a host is in disguise (`2130706433`, `0x7f.1`, `0177.0.0.1`), or None for a name."""
    bare = host.strip("[]").partition("%")[0]
    with suppress(ValueError):
        return str(ipaddress.ip_address(bare))
    with suppress(OSError):
        # The C library's own reading, which is what a connection would use.
        return socket.inet_ntoa(socket.inet_aton(bare.rstrip(".")))
    return None


Route = Literal["open", "guarded", "refused"]


class UpstreamPolicy:
    """The operator's rules for upstreams that tenants bring."""

    def __init__(self, allowed: Iterable[str] = (), *, tenants_may_bring: bool = False) -> None:
        """Allow these origins, and with `tenants_may_bring` every public address too."""
        self._allowed = {_origin(URL(origin)) for origin in allowed}
        self._tenants_may_bring = tenants_may_bring
        self._route = lru_cache(maxsize=4096)(self._route_of)

    def route(self, target: Target) -> Route:
        """Tell how a target may be reached: as it is, through the guarded resolver only, or not at all. No I/O."""
        return "open" if target.trusted else self._route(target.url)

    def _route_of(self, address: str) -> Route:
        url = _parse(address)
        if url is None:
            return "refused"
        if _origin(url) in self._allowed:
            return "open" if url.path.strip("/") == "" else "refused"
        if not self._tenants_may_bring:
            return "refused"
        literal = literal_of(url.host or "")
        return "guarded" if literal is None or is_public(literal) else "refused"

    async def check(self, target: Target) -> None:
        """Refuse a tenant's upstream when it is given, by what its name resolves to at this moment.

        Raises:
            UpstreamNotAllowed: the operator allows no such address.
        """
        route = self.route(target)
        if route == "refused" or (route == "guarded" and not await _resolves_publicly(URL(target.url))):
            raise UpstreamNotAllowed


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to any address that tenants may not reach."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        """Ask `resolver`, by default the system's."""
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host, all of them public.

        Raises:
            AddressRefused: one of them is not.
            OSError: the name does not resolve.
        """
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise AddressRefused(host)
        return found

    async def close(self) -> None:
        """Close what resolves."""
        await self._resolver.close()


async def _resolves_publicly(url: URL) -> bool:
    try:
        async with asyncio.timeout(_RESOLVE_S):
            return bool(await PublicResolver().resolve(url.host or "", url.port or 0, socket.AF_UNSPEC))
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return False


def _parse(url: str) -> URL | None:
    """Read a tenant's URL; None where it is anything but a scheme, a host, a port and a path."""
    try:
        parsed = URL(url)
        port, is_host = parsed.port, _is_host(parsed, in_brackets="[" in url)
    except ValueError:  # a UnicodeError, where a name cannot be one, is one too
        return None
    return parsed if is_base_url(url) and parsed.scheme in {"http", "https"} and is_host and port else None


def _is_host(url: URL, *, in_brackets: bool) -> bool:
    """Whether it names an address, or what could be a name: a resolver raises for anything else."""
    host = url.host or ""
    if literal_of(host) is not None:
        return in_brackets == (":" in host)
    return not in_brackets and bool(_NAME.fullmatch(url.raw_host or ""))


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, (url.host or "").rstrip(".").lower(), url.port or 0
