"""structlog, set up once: JSON lines for machines, colours on a terminal. Secrets and numbers never get this far."""

import hashlib
import json
import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, level: str = "info", fmt: str = "auto") -> None:
    """Configure structlog, and the libraries' own loggers to warnings only: arq's INFO prints job arguments."""
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(_encode)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # These print requests, addresses or job arguments; what matters of them is in our own lines.
    for name in ("arq", "aiohttp.access", "aiohttp.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _StandardError:
    """Standard error as it is now. A log that nobody can read any more must not fail a request."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def chat_label(jid: str) -> str:
    """Return what stands for a chat in a log line: the same for the same chat, and no phone number."""
    return hashlib.blake2b(jid.encode(), digest_size=6, key=_SALT).hexdigest()


def _encode(event: Any, **_: Any) -> str:
    return _json.encode(event)


_json = json.JSONEncoder(default=repr)
_SALT = b"presence-gateway"
