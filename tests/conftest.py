"""The ladder of fixtures: a real Valkey for the session, an empty one and a clock of its own for each test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clusters import start_cluster
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from terminal import Ran, Run
from world import VirtualClock

from gateway.commands import cli
from gateway.process.embedded import start_valkey
from gateway.store import cluster
from gateway.store.connections import open_executor
from gateway.store.redis import Executor, open_redis

# A busy machine is slow, not wrong.
settings.register_profile("services", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("services")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


SERVERS = ("one",)
"""What tests that need Redis run on: one server, or `cluster`, three primaries."""


@pytest.fixture(scope="session", params=SERVERS)
def redis_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("valkey")
    if request.param == "cluster":
        with start_cluster(folder / "nodes") as started:
            yield started.url
    else:
        with start_valkey(folder, "--appendonly", "no") as valkey:
            yield valkey.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url, connect_timeout_s=1, timeout_s=5, max_connections=64) as client:
        await forget_everything(client, redis_url)
        yield client


async def forget_everything(redis: Redis, url: str) -> None:
    """Empty every server."""
    if not url.startswith(cluster.SCHEME):
        await redis.flushall()
        return
    for host, port in cluster.Address.parse(url).nodes:
        async with Redis(host=host, port=port) as node:
            await node.flushall()


@pytest.fixture
async def pipeline(redis: Redis, redis_url: str) -> AsyncIterator[Executor]:
    """The same Redis by the way that the hot path takes."""
    async with open_executor(
        redis_url, redis, pipelined=True, connect_timeout_s=1, timeout_s=5, max_connections=64
    ) as opened:
        yield opened


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs one command in an empty folder, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PRESENCE_")]:
        monkeypatch.delenv(name)

    def run_one(*arguments: str) -> Ran:
        code = 0
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ran(code, printed.out, printed.err)

    return run_one
