"""This gateway as it is run: `presence-gateway serve` and the worker, metrics, log and durable promises switched on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from comparison.processes import running
from gateway import settings
from gateway.commands.dev.ports import free_port
from gateway.presence.model import Target
from gateway.process import keyfile
from gateway.tenants.directory import Created
from gateway.wiring import open_services

CREDENTIAL = "a-user-token-of-wuzapi"


@dataclass
class Installation:
    """Settings and keys of one installation; its log is JSON, in a file."""

    folder: Path
    redis_url: str
    upstream_url: str
    failures_per_minute: int = 100_000_000
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        keyfile.ensure(self.folder / "secrets.toml")

    @property
    def environ(self) -> dict[str, str]:
        """What its processes are started with."""
        return {
            "PRESENCE_CONFIG": os.devnull,
            "PRESENCE_REDIS__URL": self.redis_url,
            "PRESENCE_SECRETS__FILE": str(self.folder / "secrets.toml"),
            "PRESENCE_HTTP__PORT": str(self.port),
            "PRESENCE_ADMIN__PORT": "0",
            "PRESENCE_WORKER__PORT": "0",
            "PRESENCE_LOG__FORMAT": "json",
            "PRESENCE_LIMITS__FAILURES_PER_MINUTE": str(self.failures_per_minute),
        }

    @property
    def settings(self) -> settings.Settings:
        """The same, read."""
        return settings.load(environ=self.environ)

    @contextmanager
    def serving(self, processes: int) -> Iterator[int]:
        """Run the gateway inside the block; yields its process, or its processes' manager."""
        command = [sys.executable, "-m", "gateway", "serve"]
        if processes > 1:
            command += ["--processes", str(processes)]
        with running(command, self.folder / "gateway.log", port=self.port, settings=self.environ) as process:
            yield process.pid

    @contextmanager
    def working(self) -> Iterator[int]:
        """Run one worker inside the block."""
        port = free_port()
        environ = self.environ | {"PRESENCE_WORKER__PORT": str(port)}
        command = [sys.executable, "-m", "workers"]
        with running(command, self.folder / f"worker-{port}.log", port=port, settings=environ) as process:
            yield process.pid

    def create_account(
        self, name: str, instances: list[str], *, per_minute: int, kind: str = "wuzapi"
    ) -> list[Created]:
        """Make an account and its instances, each with an upstream of its own."""

        async def create() -> list[Created]:
            async with open_services(self.settings) as services:
                account = await services.directory.create_account(name, per_minute=per_minute)
                return [
                    await services.directory.create_instance(
                        account.id,
                        instance,
                        upstream=Target(kind, self.upstream_url, instance, f"{CREDENTIAL}-{name}-{instance}"),
                    )
                    for instance in instances
                ]

        return uvloop.run(create())
