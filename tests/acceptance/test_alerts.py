"""A real Prometheus with our rules watches real processes: every alert fires on its condition, and resolves.

One installation goes through every misfortune in turn, so the tests are one; its steps say what each has to show.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import yaml
from panels import queries
from prometheus import RULES, WINDOW, Prometheus, hastened, running_prometheus
from rig import Caller, Rig, running_rig, until_true

from gateway.presence.model import Target
from gateway.store import keys

FIRES_WITHIN_S = 60.0
SESSIONS = ("fine", "refused", "reset", "corrupt", "deaf", "passed")


@pytest.mark.timeout(600)
def test_every_alert_fires_on_its_condition_and_resolves_and_every_panel_has_data(tmp_path: Path) -> None:
    with running_rig(tmp_path, {"PRESENCE_PRESENCE__GIVE_UP_S": "4"}) as rig:
        rig.start("gateway")
        rig.start("worker")
        own = {
            "corrupt": Target("sandbox", rig.sandbox_url, "corrupt", "a credential"),
            "passed": Target("ryzeapi", rig.sandbox_url, "passed", "any token of the sandbox"),
        }
        token = rig.create_account("acme", {name: own.get(name) for name in SESSIONS})
        with running_prometheus(tmp_path / "prometheus", rig.targets, rules=hastened(RULES.read_text())) as prometheus:
            fired = asyncio.run(_misfortunes(rig, token, prometheus))
    assert fired == {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


async def _misfortunes(rig: Rig, token: str, prometheus: Prometheus) -> set[str]:
    began = time.time()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        story = _Story(rig, Caller(rig, token, session), prometheus)
        await story.all_is_well()
        await story.the_worker_is_killed_and_much_else_goes_wrong()
        await story.everything_is_mended()
        await story.pauses_are_refused()
        await story.redis_hangs()
        await story.the_gateway_is_stopped()
    await _assert_every_panel_had_data(prometheus, began)
    return story.fired


class _Story:
    def __init__(self, rig: Rig, caller: Caller, prometheus: Prometheus) -> None:
        self.rig = rig
        self.caller = caller
        self.prometheus = prometheus
        self.fired: set[str] = set()

    async def all_is_well(self) -> None:
        for number in range(20):
            assert await self.caller.show("fine", f"5511900000{number:03}", duration=1) == 200
        assert await self.caller.message("passed", "5511900000000") == 200

        async def scraped() -> bool:
            return all((await self.prometheus.up()).values())

        await until_true(scraped, within_s=20, what="Prometheus scrapes both processes")
        # Before its first scrapes it rightly missed the gateway.
        await self._resolves()

    async def the_worker_is_killed_and_much_else_goes_wrong(self) -> None:
        for number in range(10):
            assert await self.caller.show("fine", f"5511900001{number:03}", duration=3) == 200
        self.rig.stop("worker", signal.SIGKILL)
        self._spoil_redis()
        await self.caller.fault("refused", "unauthorized")
        await self.caller.fault("reset", "reset")
        async with self._guessing(), self._using("refused", "reset", "corrupt"):
            await asyncio.sleep(1)
            with self.rig.frozen(self.rig.processes["gateway"].pid):
                await asyncio.sleep(1.5)
            await self._fires(
                "PresencePausesOverdue",
                "PresenceWorkerSilent",
                "PresenceRedisPersistenceFailing",
                "PresenceRedisMemoryHigh",
                "PresenceUpstreamCredentialRefused",
                "PresenceUpstreamCircuitOpen",
                "PresenceTokensRefused",
                "PresenceInternalErrors",
                "PresenceEventLoopLags",
            )

    async def everything_is_mended(self) -> None:
        for session in ("refused", "reset"):
            await self.caller.fault(session, "none")
        with self.rig.redis() as redis:
            redis.config_set("maxmemory", "0")
            redis.config_set("appendonly", "yes")
        self.rig.start("worker")
        assert await self.caller.show("fine", "5511900005000", duration=9) == 200, "long enough to be re-sent"
        # What the dead worker owed arrives now, far too late: the budget burns.
        await self._fires("PresenceLatenessBurnsFast", "PresenceLatenessBurnsSlowly")
        await self._resolves()

    async def pauses_are_refused(self) -> None:
        await self.caller.fault("deaf", "status", status=500, state="paused")
        assert await self.caller.show("deaf", "5511900002000", duration=1) == 200
        await self._fires("PresencePausesAbandoned")
        await self.caller.fault("deaf", "none")
        await self._resolves()

    async def redis_hangs(self) -> None:
        with self.rig.frozen(self.rig.valkey.pid):
            await self._fires("PresenceRedisDown", "PresenceWorkerStuck")
        await self._resolves()

    async def the_gateway_is_stopped(self) -> None:
        self.rig.stop("gateway")
        await self._fires("PresenceGatewayDown")
        self.rig.start("gateway")
        await self._resolves()

    async def _fires(self, *alerts: str) -> None:
        missing = set(alerts)

        async def all_fire() -> bool:
            firing = await self.prometheus.firing()
            self.fired.update(firing)
            missing.difference_update(firing)
            return not missing

        try:
            await until_true(all_fire, within_s=FIRES_WITHIN_S, what="the alerts fire")
        except AssertionError as error:
            raise AssertionError(f"these did not fire: {missing}") from error

    async def _resolves(self) -> None:
        async def none_fires() -> bool:
            firing.clear()
            firing.update(await self.prometheus.firing())
            return not firing

        firing: set[str] = set()
        try:
            await until_true(none_fires, within_s=FIRES_WITHIN_S, what="the alerts resolve")
        except AssertionError as error:
            raise AssertionError(f"these did not resolve: {firing}") from error

    def _spoil_redis(self) -> None:
        with self.rig.redis() as redis:
            redis.config_set("appendonly", "no")
            used = redis.info("memory")["used_memory"]
            redis.config_set("maxmemory", str(round(used * 1.1)))
            for key in redis.scan_iter(keys.instance("*")):
                if redis.hget(key, "name") == b"corrupt":
                    redis.hset(key, mapping={"moves": "no number", "version": "spoiled"})

    @asynccontextmanager
    async def _guessing(self) -> AsyncIterator[None]:
        """Send tokens that nobody has."""

        async def guess() -> None:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    path = f"{self.rig.url}/api/chat/presence/fine"
                    async with self.caller.http.post(path, headers={"token": "pgi_" + "0" * 40}) as response:
                        assert response.status == 401
                await asyncio.sleep(0.2)

        async with _meanwhile(guess()):
            yield

    @asynccontextmanager
    async def _using(self, *instances: str) -> AsyncIterator[None]:
        """Go on sending commands to instances that fail."""

        async def use() -> None:
            while True:
                for instance in instances:
                    await self.caller.show(instance, "5511900004000")
                await asyncio.sleep(0.3)

        async with _meanwhile(use()):
            yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done() or task.result()
    finally:
        task.cancel()


async def _assert_every_panel_had_data(prometheus: Prometheus, began: float) -> None:
    span = f"{round(time.time() - began)}s"
    empty = [
        (query.panel, query.legend)
        for query in queries()
        if not await prometheus.over(query.at(interval=WINDOW, span=span), began, time.time())
    ]
    assert empty == [], os.linesep.join(map(str, empty))
