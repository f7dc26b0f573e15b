"""The ladder of fixtures: a real Valkey for the session, an empty one and a clock of its own for each test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clusters import start_cluster
from everywhere import forget_everything, forget_everything_sync, open_everywhere, open_everywhere_sync
from hypothesis import HealthCheck, settings
from order import in_order, looks_at_the_clock
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from terminal import Ran, Run
from valkeys import start_valkey
from world import VirtualClock

from gateway.commands import cli
from gateway.store.connections import open_executor
from gateway.store.redis import Executor, open_redis

# A busy machine is slow, not wrong.
settings.register_profile("services", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("services")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if looks_at_the_clock(item):
            item.add_marker("by_the_clock")
    items[:] = in_order(items)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_valkey(tmp_path_factory.mktemp("valkey"), "--appendonly", "no") as valkey:
        yield valkey.url


@pytest.fixture(scope="session")
def three_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Nobody of these is killed, and on a busy machine each is silent for a while.
    patient = start_cluster(tmp_path_factory.mktemp("cluster") / "nodes", cluster_node_timeout="10000")
    with patient as started:
        yield started.url


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """Where Redis is: `integration/conftest.py` says which tests run on what; all others run on one server."""
    # Not started before a test needs it, and then not stopped because the next one needs the other.
    return str(request.getfixturevalue(getattr(request, "param", "one_server")))


@pytest.fixture
async def everywhere(redis_url: str) -> AsyncIterator[Redis]:
    """Every server, emptied: a client for whatever key there is."""
    async with open_everywhere(redis_url) as client:
        await forget_everything(client)
        yield client


@pytest.fixture
def everywhere_sync(redis_url: str) -> Iterator[SyncRedis]:
    with open_everywhere_sync(redis_url) as client:
        forget_everything_sync(client)
        yield client


@pytest.fixture
async def redis(everywhere: Redis, redis_url: str) -> AsyncIterator[Redis]:
    """The client that the services have for the tenants' keys; on a cluster it reaches no others."""
    async with open_redis(redis_url, connect_timeout_s=1, timeout_s=5, max_connections=64) as client:
        yield client


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
