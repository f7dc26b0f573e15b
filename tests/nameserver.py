"""A DNS server on loopback: every name leads here, except those for which it never answers, or that do not exist."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_A = 1
_NO_SUCH_NAME = 3


class NameServer(asyncio.DatagramProtocol):
    """Names that begin with `silent` get no answer, those that begin with `missing` do not exist."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.address = ""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, end = _name(data)
        self.asked.append(name)
        if not name.startswith("silent"):
            self._transport.sendto(_answer(data, name, end), addr)


@asynccontextmanager
async def serving_names() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


def _name(query: bytes) -> tuple[str, int]:
    """The name that is asked for, and where its question ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += query[at] + 1
    return ".".join(labels), at + 5


def _answer(query: bytes, name: str, end: int) -> bytes:
    kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
    missing = name.startswith("missing")
    found = b"" if missing or kind != _A else b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 0, 4) + bytes([127, 0, 0, 1])
    flags = 0x8180 | (_NO_SUCH_NAME if missing else 0)
    return query[:2] + struct.pack(">HHHHH", flags, 1, bool(found), 0, 0) + query[12:end] + found
