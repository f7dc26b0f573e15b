"""The descriptions are the code: every route and status is in them."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.api.openapi import admin, public
from gateway.api.openapi.words import _MEANING
from gateway.presence import errors
from gateway.presence.errors import CallerLeft, GatewayError
from gateway.wiring import Services

PASSED = {"/api/{path}/{instance}", "/ws/{instance}"}  # the upstream's to describe
REFERENCE = {"/openapi.json", "/docs", "/docs.css"}


def with_admin(services: Services) -> web.Application:
    app = web.Application()
    app.add_subapp("/admin/", create_admin(services))
    return app


def routes_of(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource
        and route.method != "HEAD"
        and route.resource.canonical not in PASSED
        and route.resource.canonical.removeprefix("/admin") not in REFERENCE
    }


def described_routes(described: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, told in described["paths"].items() for method in told if method != "parameters"}


async def test_every_route_is_described_and_every_description_is_a_route(services: Services) -> None:
    assert described_routes(public.describe()) == routes_of(create_app(services))
    assert described_routes(admin.describe()) == routes_of(with_admin(services))


def test_every_path_names_its_own_parameters_and_every_operation_its_own_id() -> None:
    for described in (public.describe(), admin.describe()):
        ids = [
            told["operationId"]
            for methods in described["paths"].values()
            for method, told in methods.items()
            if method != "parameters"
        ]
        assert len(ids) == len(set(ids))
        for path, methods in described["paths"].items():
            assert re.findall(r"{(\w+)}", path) == [one["name"] for one in methods.get("parameters", [])]


def test_every_status_that_an_error_has_is_one_that_the_descriptions_know() -> None:
    statuses = {
        error.status for error in vars(errors).values() if isinstance(error, type) and issubclass(error, GatewayError)
    }
    assert statuses - {CallerLeft.status} <= set(_MEANING)  # nobody reads that one


@pytest.mark.parametrize("prefix", ["", "/admin"])
async def test_the_reference_page_needs_no_token_no_script_and_no_internet(
    services: Services, prefix: str, aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]]
) -> None:
    client = await aiohttp_client(with_admin(services) if prefix else create_app(services))
    page = await client.get(prefix + "/docs")
    text = await page.text()
    assert page.status == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in text
    assert sorted(re.findall(r'(?:href|src)="([^"]*)"', text)) == ["docs.css", "openapi.json"]
    described = await (await client.get(prefix + "/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    for path in described["paths"]:
        assert path in text
    assert (await client.get(prefix + "/docs.css")).content_type == "text/css"
