"""Nothing that schemathesis makes of the descriptions breaks either API."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from integration.conftest import ringing
from redis.asyncio import Redis as AsyncRedis
from world import Phone

from gateway.api.admin.app import create_admin
from gateway.api.admin.chat_names import ChatIds
from gateway.api.app import create_app
from gateway.api.openapi import admin, public
from gateway.presence.model import Chat, State, Target
from gateway.settings import Limits, Redis, Secrets, Settings
from gateway.wiring import Services, open_services

KEY = "an-operators-key"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "unsupported_method,allow_header_conformance,ignored_auth"
)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    async with ringing() as phone:
        yield phone


@pytest.fixture
async def services(redis: AsyncRedis, redis_url: str) -> AsyncIterator[Services]:
    settings = Settings(
        redis=Redis(url=redis_url),
        secrets=Secrets(pepper="p", admin_key=KEY),
        limits=Limits(
            per_minute=100_000, creation_per_minute=100_000, instances_per_account=100_000, failures_per_minute=100_000
        ),
    )
    async with open_services(settings) as services:
        yield services


def with_admin(services: Services) -> web.Application:
    app = web.Application()
    app.add_subapp("/admin/", create_admin(services, guesses_per_minute=1_000_000))
    return app


async def run_schemathesis(
    described: dict[str, Any], known: dict[str, list[str]], url: str, token: str, to: Path
) -> None:
    """Send what the description allows, and what it does not; half of the paths name what exists."""
    for methods in described["paths"].values():
        for one in methods.get("parameters", []):
            one["schema"] = {"anyOf": [{"enum": known[one["name"]]}, one["schema"]]}
    file = to / "openapi.json"
    file.write_text(json.dumps(described))
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "st"),
        *("run", str(file), "--url", url, "--checks", CHECKS, "--header", f"token: {token}"),
        *("--phases", "coverage,fuzzing", "--max-examples", "12", "--seed", "1", "--suppress-health-check", "all"),
        *("--no-color", "--request-timeout", "10", "--max-time", "12", "--warnings", "off"),
        cwd=to,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


async def served(app: web.Application) -> TestServer:
    server = TestServer(app)
    await server.start_server()
    return server


async def test_schemathesis_finds_nothing_on_the_public_api(services: Services, phone: Phone, tmp_path: Path) -> None:
    account = await services.directory.create_account("acme", upstream=Target("sandbox", phone.url, ""))
    names = [f"n{number}" for number in range(10)]
    for name in names:
        await services.directory.create_instance(account.id, name)
    server = await served(create_app(services))
    began = time.monotonic()
    try:
        await run_schemathesis(
            public.describe(), {"instance": names}, str(server.make_url("")), account.token, tmp_path
        )
    finally:
        await server.close()
    assert time.monotonic() - began < 60


async def test_schemathesis_finds_nothing_on_the_operators_api(
    services: Services, phone: Phone, tmp_path: Path
) -> None:
    chat = Chat("5511999999999@s.whatsapp.net")
    known: dict[str, list[str]] = {
        "account": [],
        "token": [],
        "instance": [],
        "chat": [ChatIds(services.hasher).of(chat.jid)],
    }
    for number in range(4):
        account = await services.directory.create_account(f"acme{number}", upstream=Target("sandbox", phone.url, ""))
        known["account"].append(account.id)
        known["instance"].append((await services.directory.create_instance(account.id, f"demo{number}")).id)
        shown_on = await services.directory.instance_by_id(known["instance"][-1])
        await services.presence.show(shown_on, chat, State.TYPING, 60)
        known["token"].append((await services.directory.issue_token(account.id)).id)
    server = await served(with_admin(services))
    began = time.monotonic()
    try:
        await run_schemathesis(admin.describe(), known, str(server.make_url("")), KEY, tmp_path)
    finally:
        await server.close()
    assert time.monotonic() - began < 60
