"""Which paths pass, and what they become: nothing that a caller writes leads past their own instance."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.guards import NAME
from gateway.api.passthrough import API, WEBSOCKET

OURS = re.compile(r"/api/(chat/presence|events/presence|instance/(new|list|delete|token))(/.*)?")


async def passing(path: str, *, pattern: str = API) -> tuple[str, str] | None:
    """What aiohttp makes of a raw path, by the route's own pattern: the words, and the instance."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get(pattern, handler)
    found = await app.router.resolve(make_mocked_request("GET", path))
    return (found["path"], found["instance"]) if "path" in found else (("", found["instance"]) if found else None)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/message/text/shop", "message/text"),
        ("/api/x/shop", "x"),
        ("/api/%6dessage/te%78t/shop", "message/text"),
        ("/api/v1.2/a_b-c/shop", "v1.2/a_b-c"),
        ("/api/instance/connect/shop", "instance/connect"),
        ("/api/instance/getSettings/shop", "instance/getSettings"),
        ("/api/chat/presence2/shop", "chat/presence2"),
        ("http://elsewhere.example/api/message/text/shop", "message/text"),
    ],
)
async def test_words_and_an_instance_pass(path: str, words: str) -> None:
    assert await passing(path) == (words, "shop")


@pytest.mark.parametrize(
    "path",
    [
        "/api/shop",
        "/api//shop",
        "/api/message/text/shop/",
        "/api/message//text/shop",
        "/api/message/../admin/shop",
        "/api/message/./text/shop",
        "/api/message/%2e%2e/admin/shop",
        "/api/message/.%2E/admin/shop",
        "/api/message/%252e%252e/admin/shop",
        "/api/message%2Ftext/shop",
        "/api/message%5Ctext/shop",
        "/api/message\\text/shop",
        "/api/message;x=1/shop",
        "/api/message/text%00/shop",
        "/api/message/text%0d%0aX: y/shop",
        "/api/message/te xt/shop",
        "/api/message/t%C3%A9xt/shop",
        "/API/message/text/shop",
        "/apix/message/text/shop",
        "/api/a/b/c/d/e/f/g/h/i/shop",
        "/api/chat/presence",
        "/api/chat/presence/shop",
        "/api/chat/presence/x/shop",
        "/api/chat/%70resence/shop",
        "/api/events/presence/shop",
        "/api/instance/new",
        "/api/instance/list",
        "/api/instance/delete/shop",
        "/api/instance/token/shop",
        "/api/instance/proxy/shop",
        "/api/instance/connect/x/../../delete/shop",
        "/api/instance/shop",
        "/ws/shop",
    ],
)
async def test_anything_else_is_no_such_path(path: str) -> None:
    assert await passing(path) is None


_WORDS = ["api", "ws", "message", "instance", "connect", "chat", "presence", "delete", "shop", "a", "-", "_", "~", "é"]
_TRICKS = ["/", "//", ".", "..", "%", "%2e", "%2E", "%2f", "%5c", "%25", "%00", "%61", "%C0%AF", "\\", ";", ":", "@"]
_SIGNS = st.sampled_from([*_WORDS, *_TRICKS, "/", "/"])


@given(st.lists(_SIGNS, max_size=14).map("".join))
async def test_whatever_passes_is_plain_words_of_no_route_of_ours_and_one_instance(tail: str) -> None:
    found = await passing(f"/api/{tail}")
    if found is None:
        return
    words, instance = found
    becomes = f"/api/{words}/session"
    assert re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*){3,10}", becomes)
    assert not OURS.fullmatch(f"/api/{words}/{instance}") or not NAME.fullmatch(instance)
    assert "/../" not in becomes
    assert "/./" not in becomes


@pytest.mark.parametrize("path", ["/ws/", "/ws/a/b", "/ws", "/ws/a%2Fb/c"])
async def test_a_websocket_names_an_instance_and_nothing_else(path: str) -> None:
    assert await passing(path, pattern=WEBSOCKET) is None
