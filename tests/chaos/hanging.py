"""An upstream of wuzapi's kind that any credential opens, and that hangs when it is told to."""

import asyncio
from typing import Self

from aiohttp import web
from rig import LOOPBACK

_DONE = {"code": 200, "data": {"connected": True, "loggedIn": True}, "success": True}


class HangingUpstream:
    """Answers at once, until it `hangs`: then it reads what comes and says nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self.under_way = 0
        self.most_under_way = 0

    @property
    def hangs(self) -> bool:
        return not self._goes_on.is_set()

    def hang(self) -> None:
        self._goes_on.clear()

    def go_on(self) -> None:
        self._goes_on.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/chat/presence", self._answer)
        app.router.add_get("/session/status", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port, backlog=1024).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_on()
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._goes_on.wait()
        finally:
            self.under_way -= 1
        return web.json_response(_DONE)
