"""`/openapi.json` and `/docs`: each API described by itself, and a page that needs neither script nor internet."""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gateway.api.openapi import admin, public

Describe = Callable[[], dict[str, Any]]

PUBLIC: Describe = public.describe
ADMIN: Describe = admin.describe

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_STYLE = (Path(__file__).parent / "page" / "docs.css").read_bytes()


def add_routes(app: web.Application, describe: Describe) -> None:
    """Serve one API's description, and its page made from that."""
    described = describe()
    app.router.add_get("/openapi.json", _serving(msgspec.json.encode(described), "application/json"))
    app.router.add_get("/docs", _serving(_page(described).encode(), "text/html"))
    app.router.add_get("/docs.css", _serving(_STYLE, "text/css"))


def _serving(body: bytes, content_type: str) -> Callable[[web.Request], Any]:
    async def serve(_: web.Request) -> web.Response:
        charset = None if content_type == "application/json" else "utf-8"
        return web.Response(body=body, content_type=content_type, charset=charset, headers=_HEADERS)

    return serve


def _page(described: dict[str, Any]) -> str:
    info = described["info"]
    operations = [
        _operation(method, path, told)
        for path, methods in described["paths"].items()
        for method, told in methods.items()
        if method != "parameters"
    ]
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])}</title>
<link rel="stylesheet" href="docs.css">
<main>
<h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1>
<p>{escape(info["description"])}</p>
<p><a href="openapi.json">openapi.json</a></p>
{"".join(operations)}
</main>
</html>
"""


def _operation(method: str, path: str, told: dict[str, Any]) -> str:
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = "".join(
        f"<tr><td>{code}</td><td>{escape(answer['description'])}</td></tr>"
        for code, answer in told["responses"].items()
    )
    query = {one["name"]: {"type": "string", "description": one["description"]} for one in told.get("parameters", [])}
    asked = _table("Query", {"properties": query}) if query else ""
    return (
        f"<section><h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2><p>{escape(told['summary'])}.</p>"
        f"{asked}{_table('Body', body) if body else ''}"
        f"{_table('Answer', _answer(told))}<table><caption>Status</caption>{answers}</table></section>"
    )


def _answer(told: dict[str, Any]) -> dict[str, Any]:
    """Find the schema of success: the one answer that is no refusal."""
    schemas = (answer["content"]["application/json"]["schema"] for answer in told["responses"].values())
    return next(schema for schema in schemas if "$ref" not in schema)


def _table(caption: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(about)}</td></tr>"
        for name, kind, about in _rows(schema, "")
    )
    return f"<table><caption>{caption}</caption>{rows}</table>"


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and meaning of every field, nested ones by their dotted name."""
    needed = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        inner = next((one for one in given.get("anyOf", ()) if one.get("type") == "object"), given)
        kinds = inner.get("type", "")
        kind = " or ".join(kinds) if isinstance(kinds, list) else kinds or str(inner.get("const", "")).lower()
        about = inner.get("description", "") or ", ".join(inner.get("enum", ()))
        yield prefix + name, kind if name in needed else f"{kind}, optional", about
        if "items" in inner:
            yield from _rows(inner["items"], f"{prefix}{name}[].")
        else:
            yield from _rows(inner, f"{prefix}{name}.")
