"""Several gateways behind one socket: each may end, in any way that is polite, and no caller is refused."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from acceptance.caller import Client, eventually, jid, new_number
from installation import ROOT, Installation
from operated import Tenant

CALLERS = 6
GATEWAYS = 2


@dataclass
class Group:
    """`serve --processes 2` on the installation's Redis."""

    process: "subprocess.Popen[bytes]"
    url: str
    admin_urls: list[str]
    log: Path

    def gateways(self) -> list[int]:
        """The pids of the gateways; the manager's own is not among them."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]


def free_ports(count: int) -> list[int]:
    """Neighbouring ports of which nothing listens on any."""
    for first in range(21000, 29000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return list(range(first, first + count))
    raise RuntimeError("no free ports")


@pytest.fixture
def group(installation: Installation, tmp_path: Path) -> Iterator[Group]:
    port, *admin = free_ports(1 + GATEWAYS)
    log = tmp_path / "serve.log"
    environment = installation.environment | {
        "PRESENCE_HTTP__PORT": str(port),
        "PRESENCE_ADMIN__PORT": str(admin[0]),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--processes", str(GATEWAYS)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    made = Group(process, f"http://127.0.0.1:{port}", [f"http://127.0.0.1:{number}" for number in admin], log)
    deadline = time.monotonic() + 30
    while b"gateways_started" not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield made
    process.terminate()
    try:
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()


@dataclass
class Load:
    """Callers that never stop; what went wrong for them, and to whom a pause was promised."""

    url: str
    tenant: Tenant
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    chats: set[str] = field(default_factory=set)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        # Half of them keep their connection, as services do; half open one for each request.
        self._tasks = [asyncio.create_task(self._call(keeps=number % 2 == 0)) for number in range(CALLERS)]
        await asyncio.sleep(0.5)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _call(self, *, keeps: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keeps)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:
            while not self._stop.is_set():
                number = new_number()
                began = time.monotonic()
                self.answers[await self._show(session, number)] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.chats.add(jid(number))
                await asyncio.sleep(0.02)

    async def _show(self, session: aiohttp.ClientSession, number: str) -> str:
        body = {"number": number, "state": "typing", "duration": 1}
        headers = {"token": self.tenant.instance_token}
        path = f"{self.url}/api/chat/presence/{self.tenant.instance}"
        try:
            async with session.post(path, json=body, headers=headers) as response:
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


async def assert_every_promise_is_kept(installation: Installation, chats: set[str]) -> None:
    async with Client(installation) as client:

        async def all_paused() -> bool | None:
            last = {call.chat: call.state for call in await client.calls()}
            return all(last.get(chat) == "paused" for chat in chats) or None

        await eventually(all_paused, within=15, what=f"{len(chats)} chats are paused")


async def test_a_term_to_each_gateway_in_turn_refuses_nobody(
    installation: Installation, tenant: Tenant, group: Group
) -> None:
    before = group.gateways()
    assert len(before) == GATEWAYS
    async with Load(group.url, tenant) as load:
        for pid in before:
            os.kill(pid, signal.SIGTERM)

            async def replaced(old: int = pid) -> bool | None:
                now = group.gateways()
                return (old not in now and len(now) == GATEWAYS) or None

            await eventually(replaced, within=20, what="a new gateway in the place of the old one")
            await asyncio.sleep(1.5)
    assert set(load.answers) == {"200"}, (load.answers, group.log.read_text()[-2000:])
    assert not set(before) & set(group.gateways())
    await assert_every_promise_is_kept(installation, load.chats)


async def test_a_hup_replaces_every_gateway_and_nobody_waits_for_it(
    installation: Installation, tenant: Tenant, group: Group
) -> None:
    before = group.gateways()
    async with Load(group.url, tenant) as load:
        group.process.send_signal(signal.SIGHUP)

        async def renewed() -> bool | None:
            return b"gateways_renewed" in group.log.read_bytes() or None

        await eventually(renewed, within=40, what="every gateway is a new one")
    assert set(load.answers) == {"200"}, (load.answers, group.log.read_text()[-2000:])
    assert load.slowest_s < 1.5, "the widest-used caller gives up at 1.5 s"
    assert not set(before) & set(group.gateways())
    await assert_every_promise_is_kept(installation, load.chats)


async def test_a_killed_gateway_leaves_the_socket_open_for_the_other(tenant: Tenant, group: Group) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        os.kill(group.gateways()[0], signal.SIGKILL)
        for _ in range(100):
            async with session.get(f"{group.url}/health") as response:
                assert response.status == 200


async def test_each_gateway_counts_for_itself_and_together_they_count_everything(tenant: Tenant, group: Group) -> None:
    async def total(session: aiohttp.ClientSession, admin_url: str) -> float:
        async with session.get(f"{admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        name = 'presence_http_requests_total{method="GET",route="/health",status="200"}'
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def ask() -> None:
            async with session.get(f"{group.url}/health") as response:
                assert response.status == 200

        for _ in range(20):
            await asyncio.gather(*(ask() for _ in range(20)))
        counts = [await total(session, url) for url in group.admin_urls]
    assert sum(counts) == 400
    assert min(counts) > 20, f"one gateway did all the work: {counts}"


async def test_the_status_command_finds_every_process_by_itself(installation: Installation, group: Group) -> None:
    async def found() -> bool | None:
        told = await asyncio.to_thread(status, installation)
        ready = {process["url"] for process in told["processes"] if process["ready"]}
        return set(group.admin_urls) <= ready or None

    await eventually(found, within=20, what="status lists both gateways of the group")


def status(installation: Installation) -> dict[str, Any]:
    """What the command prints; its exit code also tells of processes that other tests have killed."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "status", "--json"],
        cwd=ROOT,
        env=installation.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    assert done.returncode == (not told["ok"]), done.stderr
    assert isinstance(told, dict)
    return told
