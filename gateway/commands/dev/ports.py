"""Ports: taken before anything starts, so that a port in use is one clear sentence."""

import errno
import random
import socket
import time

from gateway.commands.errors import CommandFailed

_LOOK_EVERY_S = 0.05

_FREE = range(10_000, 32_768)
"""Where a free port is looked for: below what Linux gives to outgoing connections (`ip_local_port_range`), since one of
those may take the port between this look and the moment that the gateway listens."""


def choose(host: str, port: int, *, option: str, wait_s: float = 0.0) -> int:
    """Return `port`, or any free one for 0.

    Args:
        host: the address to listen on.
        port: the one that was asked for.
        option: the command-line option that would choose another.
        wait_s: how long the port may still be held by what a killed runner left.

    Raises:
        CommandFailed: nothing can listen there.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _bind(host, port) if port else free_port(host)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandFailed(
                    f"cannot listen on {host} port {port}: {error.strerror}; choose with {option}"
                ) from error
            if time.monotonic() >= deadline:
                raise CommandFailed(f"port {port} on {host} is in use; choose another with {option}") from error
        time.sleep(_LOOK_EVERY_S)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of `host` that nothing listens on.

    Raises:
        OSError: nothing can listen on `host`.
    """
    while True:
        try:
            return _bind(host, random.choice(_FREE))  # noqa: S311 - no secret
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise


def url_of(host: str, port: int) -> str:
    """Return the URL by which this machine reaches a listener on `host`."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - told apart, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(host: str, port: int) -> int:
    family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the gateway binds: a connection that lingers from the last run does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])
