"""docs/recipes.md's commands for Evolution and WAHA as they stand there, on fakes that report what they sent."""

import asyncio
import json
import os
import re
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from fakes.base import FakeUpstream, answer
from fakes.evolution import FakeEvolution
from fakes.waha import FakeWaha
from recipes import codes
from redis.asyncio import Redis as AsyncRedis
from world import until

from gateway.api.app import create_app
from gateway.presence.model import State
from gateway.process import keyfile
from gateway.settings import Redis, Secrets, Settings
from gateway.wiring import Services, open_services

Client = TestClient[web.Request, web.Application]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events"
NUMBER = "5511999999999"
JID = f"{NUMBER}@s.whatsapp.net"


@pytest.fixture
async def services(redis: AsyncRedis, redis_url: str) -> AsyncIterator[Services]:
    """One that can keep an upstream's credential."""
    secrets = Secrets(pepper="p", encryption_keys=keyfile.generate()["encryption_keys"])
    async with open_services(Settings(redis=Redis(url=redis_url), secrets=secrets)) as services:
        yield services


async def report(url: str, example: str) -> None:
    """Post an example of a webhook, of a message that was sent now."""
    event = json.dumps(json.loads((FIXTURES / example).read_text(encoding="utf-8"))["event"])
    now = event.replace("1767225600", str(int(time.time())))
    async with aiohttp.ClientSession() as http, http.post(url, json=json.loads(now)) as response:
        assert response.status == 200


class ReportingEvolution(FakeEvolution):
    """`POST /webhook/set/{instance}` and `POST /message/sendText/{instance}` beside the rest."""

    SESSION = "sales"
    webhook = ""

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            *super().routes(),
            web.post("/webhook/set/{instance}", self.set_webhook),
            web.post("/message/sendText/{instance}", self.send_text),
        ]

    async def set_webhook(self, request: web.Request) -> web.Response:
        self._guard(request)
        webhook = (await self._body(request))["webhook"]
        assert (webhook["enabled"], webhook["byEvents"]) == (True, False)
        assert "SEND_MESSAGE" in webhook["events"]
        self.webhook = webhook["url"]
        return answer(201, webhook)

    async def send_text(self, request: web.Request) -> web.Response:
        self._guard(request)
        body = await self._body(request)
        assert body == {"number": NUMBER, "text": "hello"}
        self.spawn(report(self.webhook, "evolution/ours_by_api.json"))
        return answer(201, {"key": {"remoteJid": JID, "fromMe": True, "id": "3EB0"}, "status": "PENDING"})


class ReportingWaha(FakeWaha):
    """`PUT /api/sessions/{session}` and `POST /api/sendText` beside the rest."""

    SESSION = "default"
    webhook = ""

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            *super().routes(),
            web.put("/api/sessions/{session}", self.configure),
            web.post("/api/sendText", self.send_text),
        ]

    async def configure(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        (webhook,) = (await self._body(request))["config"]["webhooks"]
        assert webhook["events"] == ["message.any"]
        self.webhook = webhook["url"]
        return answer(200, {"name": request.match_info["session"], "status": "WORKING"})

    async def send_text(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        assert await self._body(request) == {"session": "default", "chatId": f"{NUMBER}@c.us", "text": "hello"}
        self.spawn(report(self.webhook, "waha/ours_webjs.json"))
        return answer(201, {"id": f"true_{NUMBER}@c.us_3EB0"})


def curls(section: str, addresses: dict[str, str]) -> list[str]:
    """The section's curl commands, with its example addresses in the place of the real ones."""
    text = "\n\n".join(codes(section, "sh"))
    for example, real in addresses.items():
        text = text.replace(example, real)
    commands = [command for command in re.split(r"\n\n+", text) if command.lstrip().startswith("curl ")]
    assert "example.com" not in "".join(commands)
    return commands


async def run(command: str, **environ: str) -> Any:
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=os.environ | environ, stdout=PIPE, stderr=PIPE
    )
    said, complained = await shell.communicate()
    assert shell.returncode == 0, complained
    return json.loads(said)


@pytest.mark.parametrize(
    ("kind", "section", "key"),
    [
        (ReportingEvolution, "Evolution, with its webhook", "EVOLUTION_APIKEY"),
        (ReportingWaha, "WAHA, with its webhook", "WAHA_API_KEY"),
    ],
)
async def test_the_commands_of_a_recipe_end_typing_with_the_message(
    services: Services,
    aiohttp_client: Callable[..., Awaitable[Client]],
    kind: type[FakeUpstream],
    section: str,
    key: str,
) -> None:
    gateway = await aiohttp_client(create_app(services))
    account = await services.directory.create_account("acme")
    async with kind() as upstream:
        created = await services.directory.create_instance(account.id, "sales", upstream=upstream.target())
        addresses = {
            "https://gateway.example.com": str(gateway.make_url("/")).rstrip("/"),
            f"https://{kind.KIND}.example.com": upstream.url,
        }
        environ = {key: kind.CREDENTIAL, "GATEWAY_TOKEN": created.token, "NUMBER": NUMBER}
        webhook, typing, text = curls(section, addresses)
        await run(webhook, **environ)
        assert (await run(typing, **environ))["hold"] is True
        await until(lambda: upstream.seen()[-1:] == [(kind.SESSION, JID, State.TYPING)], within_s=5)
        await run(text, **environ)
        await until(lambda: upstream.seen()[-1] == (kind.SESSION, JID, State.PAUSED), within_s=10)
        answered = await gateway.get("/api/chat/presence/sales", headers={"token": created.token})
        assert (await answered.json())["indicators"] == []
