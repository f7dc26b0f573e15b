"""The runner: starts Valkey, the sandbox, a worker and a gateway, watches them, and stops them in the right order."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import structlog
import uvloop

from gateway.commands.dev import banner
from gateway.commands.dev.demo import Demo, ensure_demo
from gateway.commands.dev.lock import locked
from gateway.commands.dev.plan import Plan, survey
from gateway.commands.dev.probe import redis_answers, wait_until_serving
from gateway.commands.dev.ready import ReadyFile
from gateway.commands.dev.site import LOOPBACK, Site
from gateway.commands.masking import masked_url
from gateway.process.child import Child, wait_until
from gateway.process.embedded import Valkey
from gateway.process.server import listening
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.keys import WEBHOOKS
from gateway.sandbox.webhooks import Webhook
from gateway.store.upgrade import Upgrade, is_old
from gateway.telemetry import logs
from gateway.wiring import open_services

_SLACK_S = 2.0
"""What a process may need to end on top of its own drain."""

_VALKEY_STOP_S = 10.0
_PHONE_STOP_S = 1.0
_KILLED_EXIT_CODE = 130

_log = structlog.get_logger()


def run(plan: Plan) -> int:
    """Run everything until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        CommandFailed, StartFailed: something cannot be started.
        SettingsError: a setting is wrong.
        EmbeddedError: there is no embedded Valkey here.
        StoreUnavailable: Redis went away while starting.
    """
    with locked(plan.data) as was_killed:
        site = survey(plan, was_killed=was_killed)
        logs.set_up(level=site.settings.log.level, fmt=site.settings.log.format)
        return uvloop.run(_Runner(plan, site).run())


class _Runner:
    def __init__(self, plan: Plan, site: Site) -> None:
        self._plan = plan
        self._site = site
        self._children: dict[str, Child] = {}
        self._ready = ReadyFile(plan.ready_file, self._children)
        self._phone = create_sandbox()
        self._was_interrupted = False
        self._was_killed = False

    async def run(self) -> int:
        work = asyncio.create_task(self._work())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, work)
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()
        return _KILLED_EXIT_CODE if self._was_killed else 0

    def _on_signal(self, work: "asyncio.Task[None]") -> None:
        if not self._was_interrupted:
            self._was_interrupted = True
            _log.info("stopping", again="kills")
            work.cancel()
            return
        self._was_killed = True
        for child in self._children.values():
            child.abandon()

    async def _work(self) -> None:
        """Start everything and stay; whatever ends this stops the gateway first, then what it stands on."""
        self._ready.remove()
        async with AsyncExitStack() as stack:
            await self._start_sandbox(stack)
            await self._start_redis(stack)
            demo = await self._ensure_demo()
            await self._start_ours(stack)
            self._ready.publish(self._site, demo)
            stack.callback(self._ready.remove)
            banner.show(self._site, demo, self._plan.data)
            await asyncio.Event().wait()

    async def _start_sandbox(self, stack: AsyncExitStack) -> None:
        """Serve it from this process: of all things, the phone should outlive what a developer kills."""
        phone = listening(self._phone, LOOPBACK, self._site.sandbox_port, shutdown_timeout=_PHONE_STOP_S)
        await stack.enter_async_context(phone)

    async def _start_redis(self, stack: AsyncExitStack) -> None:
        url = self._site.settings.redis.url
        if not self._site.embeds_redis:
            await wait_until(partial(redis_answers, url), (), f"Redis does not answer at {masked_url(url)}", within_s=5)
            return
        valkey = Valkey.of(self._plan.data)
        child = await self._start(stack, "redis", valkey.command, stop_within_s=_VALKEY_STOP_S, prepare=valkey.recover)
        await wait_until(
            partial(asyncio.to_thread, valkey.answers),
            self._children.values(),
            f"the embedded Valkey does not answer ({valkey.log} says why)",
        )
        child.is_settled = True

    async def _ensure_demo(self) -> Demo:
        async with open_services(self._site.settings) as services:
            if await is_old(services.redis, self._site.settings.redis.url):
                _log.info("upgraded", keys=await Upgrade(services.redis, services.executor, is_same=True).run())
            demo = await ensure_demo(services, self._plan.data / "demo.json", self._site.sandbox_url)
        # As an operator points a real upstream's webhook at the gateway.
        url = f"{self._site.url}/api/events/presence/{demo.instance}?token={demo.instance_token}"
        self._phone[WEBHOOKS].order(Webhook(demo.instance, url))
        return demo

    async def _start_ours(self, stack: AsyncExitStack) -> None:
        """Start the worker and the gateway. `-P`: a folder `workers` where the developer stands is not ours."""
        settings, python = self._site.settings, [sys.executable, "-P", "-m"]
        drain_s = settings.worker.drain_timeout_s + _SLACK_S
        await self._start(stack, "worker", [*python, "workers"], stop_within_s=drain_s)
        drain_s = settings.http.drain_delay_s + settings.http.drain_timeout_s + _SLACK_S
        await self._start(stack, "gateway", [*python, "gateway", "serve"], stop_within_s=drain_s)
        await wait_until_serving(self._site, self._children)
        for child in self._children.values():
            child.is_settled = True

    async def _start(
        self,
        stack: AsyncExitStack,
        name: str,
        command: list[str],
        *,
        stop_within_s: float,
        prepare: Callable[[], None] = lambda: None,
    ) -> Child:
        child = Child(
            name,
            command,
            self._site.environ,
            stop_within_s=stop_within_s,
            prepare=prepare,
            on_start=self._ready.refresh,
        )
        self._children[name] = child
        await child.start()
        stack.push_async_callback(child.stop)
        return child
