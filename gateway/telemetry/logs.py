"""structlog, set up once: JSON lines for machines, colours on a terminal. Secrets and numbers never get this far."""

import asyncio
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, level: str = "info", fmt: str = "auto") -> None:
    """Configure structlog, and the libraries' own loggers to warnings only: arq's INFO prints job arguments."""
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=_FOR_PEOPLE if console else _FOR_MACHINES,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _standard_error)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # These print requests, addresses or job arguments; what matters of them is in our own lines.
    for name in ("arq", "aiohttp.access", "aiohttp.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _as_line(_: object, method: str, event: EventDict) -> str:
    """Stamp and encode in one step: every request has a line, and its cost."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(None, method, event)
    event["level"] = "error" if method == "exception" else method
    event["timestamp"] = _now()
    try:
        line = msgspec.json.format(_encode(event), indent=0)
    except (TypeError, ValueError, OverflowError):
        # Such as half of a surrogate pair, in a name that somebody else made up: seldom, and never a line lost.
        return _encode_anything(event)
    # Anything else is escaped: some of it ends a line for who reads it, or cannot be written where they are.
    return line.decode() if line.isascii() else _encode_anything(event)


def _now() -> str:
    second, fraction = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_iso(second)}.{fraction:06}Z"


@lru_cache(maxsize=2)
def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_encode = msgspec.json.Encoder(enc_hook=repr).encode
_encode_anything = json.JSONEncoder(default=repr, skipkeys=True).encode
_FOR_MACHINES: list[Processor] = [_as_line]
_FOR_PEOPLE: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    # The renderer's own choice prints the locals of every frame: tokens, credentials, numbers.
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]


class _StandardError:
    """Standard error as it is now. A log that nobody can read any more must not fail a request."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, text: str) -> None:
        if self._loop is not None and not self._lines:
            self._loop.call_soon(self._leave)
        self._lines.append(text)
        if self._loop is None:
            self._leave()

    def flush(self) -> None:
        """Every line leaves by itself."""

    @contextmanager
    def buffering(self) -> Iterator[None]:
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            self._loop = None
            self._leave()

    def _leave(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


_standard_error = _StandardError()


def buffering() -> AbstractContextManager[None]:
    """Write the lines of one turn of the event loop together, inside the block: one system call for all of them.

    Only a kill in the middle of a turn can lose a line, and then the turn's requests were not answered either.
    """
    return _standard_error.buffering()


def chat_label(jid: str) -> str:
    """Return what stands for a chat in a log line: the same for the same chat, and no phone number."""
    return hashlib.blake2b(jid.encode(), digest_size=6, key=_SALT).hexdigest()


_SALT = b"presence-gateway"
