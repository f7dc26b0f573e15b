"""Static pages of ours: files beside the code, read once, under a policy that lets nothing foreign in."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    # A page changes with the gateway that serves it, and may be shown beside secrets: nobody keeps it.
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

SHARED_SHEET = Path(__file__).parent / "page" / "shared.css"
"""What the sheets of all our pages begin with; each page serves it beside its own."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page(file: Path) -> Handler:
    """Make the handler that serves `file`, as it is now."""
    body = file.read_bytes()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=_TYPES[file.suffix], charset="utf-8", headers=_HEADERS)

    return serve


@cache
def library(file: Path) -> Handler:
    """Make the handler that serves a large `file` of a library: packed once, not sent again while it is the same."""
    body = file.read_bytes()
    packed, content_type = gzip.compress(body, 6, mtime=0), _TYPES[file.suffix]
    headers = _HEADERS | {
        "Cache-Control": "no-cache",
        "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
        "Vary": "Accept-Encoding",
    }

    async def serve(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)
        zipped = headers | {"Content-Encoding": "gzip"}
        return web.Response(body=packed, content_type=content_type, charset="utf-8", headers=zipped)

    return serve


def pages(folder: Path) -> Iterator[tuple[str, Handler]]:
    """Yield a name and a handler for each file of a page's folder."""
    for file in sorted(folder.iterdir()):
        yield file.name, page(file)
