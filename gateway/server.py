"""Listening on a port, with what fails before there is a request answered in the envelope too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from gateway import envelope

_MESSAGE_OF_STATUS = {400: "Malformed HTTP request", 500: "Internal server error"}


class _EnvelopeHandler(RequestHandler):
    """Answers what fails before there is a request, such as a malformed head, in the envelope."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Say what happened in one sentence; aiohttp's own text would quote the bytes it could not read."""
        super().handle_error(request, status, exc, message)
        response = envelope.failure(status, _MESSAGE_OF_STATUS.get(status, "Malformed HTTP request"))
        response.force_close()
        return response


class _EnvelopeServer(Server):
    def __call__(self) -> RequestHandler:
        return _EnvelopeHandler(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> Server:
        """Let the app build its server as always, then answer with our handler in its place."""
        made = await super()._make_server()
        made.__class__ = _EnvelopeServer
        return made


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, **limits: Any) -> AsyncIterator[int]:
    """Serve `app` inside the block; yields the port, then lets requests under way finish.

    Raises:
        OSError: the port is in use.
    """
    runner = _Runner(app, access_log=None, **limits)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
