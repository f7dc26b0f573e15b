"""What passes through: media of 100 MB in constant memory, and a presence beside those who mean harm."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from acceptance.caller import NOISE_S, Client, eventually, jid, new_number
from fakes.ryzeapi import FakeRyzeapi
from installation import Installation
from operated import PLENTY, Tenant
from ryzeapi_client import RyzeapiClient
from world import until
from yarl import URL

MEDIA = 100_000_000
FLAT = 20_000_000


@pytest.fixture
async def ryzeapi() -> AsyncIterator[FakeRyzeapi]:
    async with FakeRyzeapi() as fake:
        yield fake


@pytest.fixture
async def passing(installation: Installation, ryzeapi: FakeRyzeapi, http: aiohttp.ClientSession) -> Tenant:
    """A tenant whose instance `shop` lives at the fake."""
    target = ryzeapi.target()
    upstream = {"kind": target.kind, "url": target.url, "session": target.session, "credential": target.credential}
    admin = f"{installation.ready['admin_url']}/admin/accounts"
    key = {"Authorization": f"Bearer {installation.ready['admin_key']}"}
    name = f"passing-{secrets.token_hex(4)}"
    async with http.post(admin, json={"name": name, "per_minute": PLENTY}, headers=key) as answer:
        account = await answer.json()
    body = {"name": "shop", "upstream": upstream}
    async with http.post(f"{admin}/{account['account']['id']}/instances", json=body, headers=key) as answer:
        instance = await answer.json()
    made = Tenant(name, account["token"], "shop", instance["secret"])
    installation.secrets |= {made.account_token, made.instance_token, target.credential}
    return made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@dataclass
class Memory:
    """What processes hold, as the kernel counts it: before, and at the most since."""

    pids: list[int]

    def __post_init__(self) -> None:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most, from here on
        self.before = self._sum("VmRSS")

    @property
    def grown(self) -> int:
        """By how many bytes they held more at the most."""
        return self._sum("VmHWM") - self.before

    def _sum(self, what: str) -> int:
        told = (Path(f"/proc/{pid}/status").read_text() for pid in self.pids)
        return sum(int(text.split(f"{what}:")[1].split()[0]) * 1024 for text in told)


async def test_media_of_100_mb_passes_both_ways_in_constant_memory(
    installation: Installation, ryzeapi: FakeRyzeapi, passing: Tenant, http: aiohttp.ClientSession
) -> None:
    """7. Bodies stream both ways, byte for byte."""
    through = RyzeapiClient(installation.url, passing.instance, passing.instance_token, http)
    direct = RyzeapiClient(ryzeapi.url, "shop", ryzeapi.CREDENTIAL, http)
    number = new_number()
    assert (await through.media(number, 1_000_000)).status == 200

    ryzeapi.rest.sent.clear()
    memory = Memory(installation.pids["gateway"])
    sent = await through.media(number, MEDIA)
    assert memory.grown < FLAT
    ryzeapi.rest.sent.clear()
    assert sent == await direct.media(number, MEDIA)
    assert sent.status == 200

    ryzeapi.rest.media_bytes = MEDIA
    memory = Memory(installation.pids["gateway"])
    length = await through.stored_media("3EB0")
    assert memory.grown < FLAT
    assert length > MEDIA
    assert length == await direct.stored_media("3EB0")


async def test_a_presence_is_not_late_beside_a_token_that_does_its_worst(
    installation: Installation,
    ryzeapi: FakeRyzeapi,
    passing: Tenant,
    tenant: Tenant,
    client: Client,
    http: aiohttp.ClientSession,
) -> None:
    """7. It can never slow a presence down: floods of frames, bodies without an end, answers that nobody reads."""
    ryzeapi.rest.websocket = {"enabled": True}
    ryzeapi.rest.media_bytes = 10 * MEDIA
    worst = [
        asyncio.create_task(work)
        for work in (
            flood(installation, passing, http),
            flood(installation, passing, http),
            send_without_end(installation, passing, http),
            ask_and_never_read(installation, passing),
        )
    ]
    await until(lambda: bool(ryzeapi.rest.heard), within_s=10)
    numbers = [new_number() for _ in range(12)]
    for number in numbers:
        assert (await client.show(tenant, number, "typing", 1)).status == 200
        await asyncio.sleep(0.2)
    late = []
    for number in numbers:
        shown, paused = await eventually(partial(both, client, number), within=10, what="a pause")
        late.append(paused - shown - 1)
    for task in worst:
        task.cancel()
    ended = await asyncio.gather(*worst, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
    assert max(late) < 0.05 + NOISE_S
    assert {session for _, session, _ in ryzeapi.rest.sent} <= {"shop"}


async def both(client: Client, number: str) -> tuple[float, float] | None:
    """When a chat was shown to be typing, and when paused; None until both were."""
    at = {call.state: call.at for call in await client.calls_for(jid(number))}
    return (at["typing"], at["paused"]) if "paused" in at else None


async def flood(installation: Installation, passing: Tenant, http: aiohttp.ClientSession) -> None:
    """Send frames as fast as they are taken, tens of thousands a second at first."""
    url = f"{installation.url}/ws/{passing.instance}?token={passing.instance_token}"
    async with http.ws_connect(url) as socket:
        try:
            while True:
                for _ in range(100):
                    await socket.send_str("x")
                await asyncio.sleep(0.002)
        finally:
            transport = socket.get_extra_info("socket")
            assert transport is not None
            transport.shutdown(2)


async def send_without_end(installation: Installation, passing: Tenant, http: aiohttp.ClientSession) -> None:
    """Send a body of small pieces of JSON, the dearest to look at, and begin again when it is refused."""

    async def endless() -> AsyncIterator[bytes]:
        yield b"["
        while True:
            yield b'"\\"",' * 2_000
            await asyncio.sleep(0.001)

    url = f"{installation.url}/api/message/text/{passing.instance}"
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            await http.post(url, data=endless(), headers={"token": passing.account_token})


async def ask_and_never_read(installation: Installation, passing: Tenant) -> None:
    """Ask for media of a gigabyte, and read none of it."""
    url = URL(installation.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    path = f"/api/chat/base64/{passing.instance}?messageId=1"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\ntoken: {passing.instance_token}\r\n\r\n".encode())
    try:
        await asyncio.sleep(60)
    finally:
        writer.transport.abort()
