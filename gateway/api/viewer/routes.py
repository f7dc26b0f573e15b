"""`/openapi.json` and `/docs`: each API described by itself, and Swagger UI to read that and to try it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gateway.process.pages import library, page, pages

_PAGE = Path(__file__).parent / "page"
_SWAGGER_UI = Path(__file__).parent / "swagger_ui"
"""From npm, as `pin.json` there says; `make viewer` writes it."""


def add_reference(app: web.Application, describe: Callable[[], dict[str, Any]]) -> None:
    """Serve one API's description, and the page that reads it from beside itself."""
    described = msgspec.json.encode(describe())

    async def description(_: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    app.router.add_get("/openapi.json", description)
    app.router.add_get("/docs", page(_PAGE / "index.html"))
    for name, handler in pages(_PAGE):
        app.router.add_get(f"/docs/{name}", handler)
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        app.router.add_get(f"/docs/{name}", library(_SWAGGER_UI / name))
