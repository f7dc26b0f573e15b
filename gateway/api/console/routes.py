"""Where the console is served; all that it shows and does goes through the admin API beside it."""

from pathlib import Path

from aiohttp import web

from gateway.process.pages import SHARED_SHEET, page, pages

_PAGE = Path(__file__).parent / "page"


def add_console(app: web.Application) -> None:
    """Serve the console at `/console`; it expects the admin API at `/admin` of the same origin.

    Safe from request forgery by construction: the page keeps its credential in the tab and sends it in a header that
    it sets itself. There is no cookie, so no other site can make the browser send anything that authenticates.
    """
    index = page(_PAGE / "index.html")
    for path in ("/console", "/console/"):
        app.router.add_get(path, index)
    app.router.add_get("/console/shared.css", page(SHARED_SHEET))
    for name, handler in pages(_PAGE):
        app.router.add_get(f"/console/{name}", handler)
