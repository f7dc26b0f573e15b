"""The descriptions are the code: every route and status is in them."""

import gzip
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from integration.conftest import ringing
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

from gateway.api.admin.app import create_admin
from gateway.api.app import create_app
from gateway.api.openapi import admin, public
from gateway.presence import errors
from gateway.presence.errors import GatewayError
from gateway.presence.model import Target
from gateway.wiring import Services

pytestmark = pytest.mark.one_server("descriptions and routes")

PASSED = {"/api/{path}/{instance}", "/ws/{instance}"}  # the upstream's to describe
REFERENCE = re.compile(r"(/admin)?/(openapi\.json|docs(/.*)?)")

Describe: TypeAlias = Callable[[], dict[str, Any]]


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
        and not REFERENCE.fullmatch(route.resource.canonical)
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


NOBODYS = {"CallerLeft", "BackupUnreadable"}  # nobody reads the one, the other is the command line's
PASSING = {"RouteUnsupported"}  # of what is the upstream's to describe


def test_every_message_that_an_error_has_is_told_by_some_operation() -> None:
    told = json.dumps([public.describe(), admin.describe()])
    final = {
        name: error.message
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, GatewayError) and name not in NOBODYS | PASSING
    }
    assert [name for name, message in final.items() if json.dumps(message) not in told] == []


@pytest.mark.parametrize("describe", [public.describe, admin.describe])
def test_the_description_is_openapi_3_1(describe: Describe) -> None:
    described = describe()
    assert described["openapi"] == "3.1.0"
    validate(described)


@pytest.mark.parametrize("describe", [public.describe, admin.describe])
def test_every_example_is_one_of_its_schema(describe: Describe) -> None:
    described, seen = describe(), 0
    for content in contents_of(described["paths"]):
        checker = Draft202012Validator({"components": described["components"], **content["schema"]})
        alone = [content["example"]] if "example" in content else []
        for example in alone + [one["value"] for one in content.get("examples", {}).values()]:
            assert checker.is_valid(example), example
            seen += 1
    assert seen > 50


def contents_of(told: Any) -> Iterator[dict[str, Any]]:
    """Every JSON that a request or an answer may hold."""
    for key, inner in told.items() if isinstance(told, dict) else ():
        yield from [inner] if key == "application/json" else contents_of(inner)


async def test_every_example_of_a_presence_is_answered_as_its_example_says(
    services: Services, aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]]
) -> None:
    client = await aiohttp_client(create_app(services))
    told = public.describe()["paths"]["/api/chat/presence/{instance}"]["post"]
    (asked,) = contents_of(told["requestBody"])
    (answered,) = contents_of(told["responses"]["200"])
    async with ringing() as phone:
        account = await services.directory.create_account("acme", upstream=Target("sandbox", phone.url, ""))
        await services.directory.create_instance(account.id, "demo")
        for name, example in asked["examples"].items():
            answer = await client.post(
                "/api/chat/presence/demo", json=example["value"], headers={"token": account.token}
            )
            assert await answer.json() == answered["examples"][name]["value"]


@pytest.mark.parametrize("prefix", ["", "/admin"])
async def test_the_reference_needs_no_token_and_no_internet(
    services: Services, prefix: str, aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]]
) -> None:
    client = await aiohttp_client(with_admin(services) if prefix else create_app(services))
    page = await client.get(prefix + "/docs")
    assert page.status == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    linked = re.findall(r'(?:href|src)="(?!data:)([^"]*)"', await page.text())
    assert linked == [
        "docs/swagger-ui.css",
        "docs/viewer.css",
        "docs/swagger-ui-bundle.js",
        "docs/viewer.js",
        "openapi.json",
    ]
    for path in linked:
        answer = await client.get(f"{prefix}/{path}")
        assert answer.status == 200
        assert (
            answer.content_type
            == {"css": "text/css", "js": "text/javascript", "json": "application/json"}[path.rpartition(".")[2]]
        )


async def test_the_library_is_sent_packed_and_not_again(
    services: Services, aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]]
) -> None:
    client = await aiohttp_client(create_app(services), auto_decompress=False)
    path = "/docs/swagger-ui-bundle.js"
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    packed = await client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(await packed.read()) == await plain.read()
    again = await client.get(path, headers={"If-None-Match": packed.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
