"""A DNS server on loopback that knows one name, and never answers for any other."""

import socket
import struct
import threading
from typing import Self

from rig import LOOPBACK

ALIVE = "alive.test"
DEAD = "dead{}.test"

_HEADER = struct.Struct(">HHHHHH")
_ANSWERED, _ADDRESS, _INTERNET = 0x8180, 1, 1
_LASTS_S = 60


class NameServer:
    """As a block, it answers over UDP at `address`."""

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # the thread reads it, and ends
        self._thread.join()
        self._socket.close()

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._socket.getsockname())

    def _serve(self) -> None:
        while True:
            asked, whose = self._socket.recvfrom(512)
            if not asked:
                return
            if (answer := answer_to(asked)) is not None:
                self._socket.sendto(answer, whose)


def answer_to(asked: bytes) -> bytes | None:
    """Word the answer to a query for the one name that is known: its address, or that it has none of that sort."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in ALIVE.split(".")) + b"\0"
    name_ends = _HEADER.size + len(question)
    if asked[_HEADER.size : name_ends].lower() != question:
        return None
    (sort,) = struct.unpack_from(">H", asked, name_ends)
    found = sort == _ADDRESS
    head = _HEADER.pack(struct.unpack_from(">H", asked)[0], _ANSWERED, 1, found, 0, 0)
    # The name of the answer is the question's, which begins behind the header.
    record = struct.pack(">HHHIH", 0xC000 | _HEADER.size, _ADDRESS, _INTERNET, _LASTS_S, 4) + socket.inet_aton(LOOPBACK)
    return head + asked[_HEADER.size : name_ends + 4] + (record if found else b"")
