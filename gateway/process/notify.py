"""Telling whoever started us that we serve, in systemd's protocol; our own process manager listens in it too."""

import os
import socket
from contextlib import suppress


def ready() -> None:
    """Say so where somebody asked to be told; that nobody listens any more is no fault of ours."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # A leading @ stands for the abstract namespace's zero byte.
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send(b"READY=1")
