"""How many connections one listener keeps open: of all clients, and of each address its share."""

import ipaddress
import sys

from gateway.presence.shares import Shares

_NETWORK_OF_A_CLIENT = 64
"""Bits of an IPv6 address that tell one client from another: the rest are for the client to choose."""


class Caps:
    """Counts connections. No address holds more of them than are free, so that a flood from one leaves room for all."""

    def __init__(self, total: int = 0, per_address: int = 0) -> None:
        """Keep `total` open, and of one address no more than its share, or `per_address`; 0 is any number."""
        self._shares = Shares(total or sys.maxsize)
        self._per_address = per_address or sys.maxsize

    def take(self, address: str) -> bool:
        """Count a connection from here, unless it is one too many."""
        client = client_of(address)
        return self._shares.held.get(client, 0) < self._per_address and self._shares.take(client)

    def give_back(self, address: str) -> None:
        """Count down what was taken."""
        self._shares.give_back(client_of(address))


def client_of(address: str) -> str:
    """Name whoever stands behind an address: of an IPv6 address their network, of any other it itself."""
    if ":" not in address:
        return address
    ip = ipaddress.IPv6Address(address.partition("%")[0])
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _NETWORK_OF_A_CLIENT), strict=False))
