"""What operators and probes ask: liveness, readiness, metrics. The same on gateways and workers."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from gateway import SERVICE, VERSION
from gateway.process import envelope
from gateway.telemetry.metrics import BUILD_INFO, EVENT_LOOP_LAG, REGISTRY

_READY_S = 1.0
_LAG_EVERY_S = 0.5
_LAG_LOOKS = 30
"""A quarter of a minute: what happened between two scrapes is seen by the second."""

Role = Literal["gateway", "worker"]


async def health(request: web.Request) -> web.Response:  # noqa: ARG001
    """`GET /health` of the public API."""
    return envelope.success({"status": "ok", "version": VERSION, "service": SERVICE})


def create_ops(
    role: Role, is_ready: Callable[[], Awaitable[bool]], refresh_gauges: Callable[[], Awaitable[None]]
) -> web.Application:
    """Build the operator's app.

    Args:
        role: what this process is.
        is_ready: asked by `/readyz`; `/livez` only says that the loop turns.
        refresh_gauges: asked to set what is looked up, before `/metrics` tells it.
    """

    async def livez(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.json_response({"status": "alive"})

    async def readyz(request: web.Request) -> web.Response:  # noqa: ARG001
        try:
            async with asyncio.timeout(_READY_S):
                ready = await is_ready()
        except TimeoutError:
            ready = False
        return web.json_response({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        await refresh_gauges()
        # Exemplars, which lead from a late pause to its trace, exist in the newer of the two formats only.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.cleanup_ctx.append(_watch_loop)
    BUILD_INFO.labels(VERSION, role).set(1)
    return app


async def _watch_loop(app: web.Application) -> AsyncIterator[None]:  # noqa: ARG001
    """Measure how late a timer runs: a blocked loop is late with everything else too."""
    lately: deque[float] = deque(maxlen=_LAG_LOOKS)

    async def watch() -> None:
        while True:
            due = time.monotonic() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            lately.append(max(0.0, time.monotonic() - due))
            EVENT_LOOP_LAG.set(max(lately))

    task = asyncio.create_task(watch())
    yield
    task.cancel()
