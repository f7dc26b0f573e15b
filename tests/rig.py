"""A whole installation as separate processes that a test or a benchmark starts, stops and freezes one by one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from redis import Redis
from valkeys import Running, start_valkey

from gateway import settings
from gateway.commands.dev.ports import free_port
from gateway.presence.model import Target
from gateway.process import keyfile
from gateway.wiring import open_services

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"
START_S = 45.0

_COMMANDS = {
    "sandbox": ["-m", "gateway", "sandbox", "--port"],
    "gateway": ["-m", "gateway", "serve"],
    "worker": ["-m", "workers"],
}


@dataclass
class Rig:
    """Valkey, the sandbox, a gateway and a worker; each but Valkey under a name."""

    folder: Path
    valkey: Running
    environ: dict[str, str]
    ports: dict[str, int]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['gateway']}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['sandbox']}"

    @property
    def targets(self) -> dict[str, str]:
        """Where each role's metrics are."""
        return {role: f"{LOOPBACK}:{self.ports[f'{role} metrics']}" for role in ("gateway", "worker")}

    def redis(self) -> "Redis":
        return Redis.from_url(self.valkey.url, socket_timeout=5)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start(self, name: str) -> None:
        """Start a process and return when it answers."""
        command = [sys.executable, *_COMMANDS[name]]
        if name == "sandbox":
            command.append(str(self.ports["sandbox"]))
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        address = f"{self.sandbox_url}/" if name == "sandbox" else f"http://{self.targets[name]}/readyz"
        wait_for(address, self.processes[name])

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        process.wait(30)

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Stop a process in mid-step inside the block, as a machine that swaps does."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def create_account(self, name: str, instances: Mapping[str, Target | None]) -> str:
        """Make an account with its instances; its token."""

        async def create() -> str:
            async with open_services(settings.load(environ=self.environ)) as services:
                account = await services.directory.create_account(name, per_minute=1_000_000)
                for instance, target in instances.items():
                    await services.directory.create_instance(account.id, instance, upstream=target)
                return account.token

        return uvloop.run(create())


@dataclass
class Caller:
    """A caller of the rig's gateway, with one account's token."""

    rig: Rig
    token: str
    http: aiohttp.ClientSession

    async def show(self, instance: str, number: str, state: str = "typing", duration: int = 0) -> int:
        """Send one command; the status, 0 where there was no answer."""
        body: dict[str, Any] = {"number": number, "state": state, "duration": duration}
        path = f"{self.rig.url}/api/chat/presence/{instance}"
        try:
            async with self.http.post(path, json=body, headers={"token": self.token}) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def message(self, instance: str, number: str) -> int:
        """Send a text through the gateway, to an instance whose upstream is a RyzeAPI."""
        path, body = f"{self.rig.url}/api/message/text/{instance}", {"number": number, "message": "here it is"}
        async with self.http.post(path, json=body, headers={"token": self.token}) as response:
            return response.status

    async def fault(self, session: str, kind: str, **details: object) -> None:
        order = {"instance": session, "fault": kind, **details}
        async with self.http.post(f"{self.rig.sandbox_url}/faults", json=order) as response:
            assert response.status < 300, await response.text()


@contextmanager
def running_rig(folder: Path, overrides: Mapping[str, str]) -> Iterator[Rig]:
    """Run Valkey and the sandbox, and whatever else is started, inside the block."""
    keyfile.ensure(folder / "secrets.toml")
    ports = {name: free_port() for name in ("sandbox", "gateway", "gateway metrics", "worker metrics")}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    with start_valkey(folder / "valkey") as valkey:
        environ = outside | {
            "PRESENCE_REDIS__URL": valkey.url,
            "PRESENCE_SECRETS__FILE": str(folder / "secrets.toml"),
            "PRESENCE_HTTP__PORT": str(ports["gateway"]),
            "PRESENCE_ADMIN__PORT": str(ports["gateway metrics"]),
            "PRESENCE_WORKER__PORT": str(ports["worker metrics"]),
            "PRESENCE_UPSTREAM__KIND": "sandbox",
            "PRESENCE_UPSTREAM__SESSIONS": "instance",
            "PRESENCE_UPSTREAM__URL": f"http://{LOOPBACK}:{ports['sandbox']}",
            "PRESENCE_LIMITS__FAILURES_PER_MINUTE": "1000000",
            **overrides,
        }
        rig = Rig(folder, valkey, environ, ports)
        try:
            rig.start("sandbox")
            yield rig
        finally:
            for process in rig.processes.values():
                process.kill()
                process.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process answers at an address."""
    import requests

    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"nothing answers at {address}"
        try:
            if requests.get(address, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)


async def until_true(ask: Any, *, within_s: float, what: str) -> None:
    """Ask, twice a second, until the answer is yes."""
    deadline = time.monotonic() + within_s
    while not await ask():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        await asyncio.sleep(0.5)
