"""A fault of ours is logged whole, but for what variables held: tokens and credentials are in reach of every frame."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-16-characters-and-more"
CREDENTIAL = "the-credential-of-an-upstream"

# A handler that fails with both in its locals, behind the middleware of every route, in a process of its own.
SERVER = """
import asyncio, sys
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from gateway.api.middlewares import observe
from gateway.telemetry import logs

async def handler(request):
    token, credential = request.headers["token"], bytes.fromhex(request.headers["secret"]).decode()
    await store({"token": token, "credential": credential})

async def store(record):
    raise ZeroDivisionError("a fault of ours")

async def main():
    app = web.Application(middlewares=[observe])
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/", headers={"token": sys.argv[2], "secret": sys.argv[3]})
        assert answer.status == 500

logs.set_up(fmt=sys.argv[1])
asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_log_of_a_fault_names_its_place_and_no_variable(log_format: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", SERVER, log_format, TOKEN, CREDENTIAL.encode().hex()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert "ZeroDivisionError: a fault of ours" in process.stderr
    assert "in store" in process.stderr
    for secret in (TOKEN, CREDENTIAL, CREDENTIAL.encode().hex()):
        assert secret not in process.stdout + process.stderr
