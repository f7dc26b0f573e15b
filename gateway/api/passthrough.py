"""Every other route of the upstream's API, under our URL and with our tokens (contract section 7).

The routes' patterns are the rule for paths: plain words between slashes, and an instance of the caller's at the end.
aiohttp matches them against the path decoded once, in which an encoded slash or percent sign stays encoded and so
matches nothing.
"""

import asyncio
import time
from collections.abc import Awaitable
from functools import partial

import structlog
from aiohttp import web

from gateway.api.concurrency import ConcurrencyLimit
from gateway.api.context import CONTEXT
from gateway.api.guards import Caller, Gate
from gateway.api.message_end import count
from gateway.api.passed_websockets import SWITCHING, PassedWebSockets
from gateway.api.passing import Upload, cut_off, give_on, is_gone, pass_headers, response_to
from gateway.presence.errors import GatewayError
from gateway.presence.model import Chat, Instance
from gateway.telemetry.metrics import PASSED_DURATION, PASSED_REQUESTS
from gateway.upstreams.end_to_end import query_without_token
from gateway.upstreams.exchange import Answer, Forwarded
from gateway.upstreams.progress import Progress, watched
from gateway.wiring import Services

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Any that an API has. `TRACE` would answer with our credential, `CONNECT` names no path."""

_NOT_OURS = "connect|reconnect|logout|settings|getSettings"
_OURS = f"(?!(?:chat|events)/presence(?:/|$)|instance/(?!(?:{_NOT_OURS})/))"
_WORD = "[A-Za-z0-9_-][A-Za-z0-9_.-]*"
API = f"/api/{{path:{_OURS}{_WORD}(?:/{_WORD}){{0,7}}}}/{{instance:[^/]+}}"
WEBSOCKET = "/ws/{instance:[^/]+}"

_MESSAGES = "/api/message/"
_MESSAGE_SENT_S = 1.0
"""How long an answer waits for its indicator to end: a Redis that is away holds it up no longer."""

_log = structlog.get_logger()


class PassThrough:
    """Hands requests on to the instance's upstream, so many at a time. One object for the process."""

    def __init__(self, services: Services) -> None:
        """Begin with nothing under way."""
        self._forwarding = services.forwarding
        self._presence = services.presence
        self._limits = services.settings.pass_
        self._concurrency = ConcurrencyLimit(self._limits.max_in_flight, self._limits.max_in_flight_per_account)
        self._websockets = PassedWebSockets(services)
        self._endings: set[asyncio.Task[str]] = set()

    def add_routes(self, app: web.Application, gate: Gate) -> None:
        """Serve what no other route of `app` does; WebSockets end with it."""
        for method in METHODS:
            app.router.add_route(method, API, gate.for_instance(self.request))
        app.router.add_get(WEBSOCKET, gate.for_instance(self.websocket), allow_head=False)
        app.on_shutdown.append(self._websockets.close)

    async def request(self, request: web.Request, caller: Caller, instance: Instance) -> web.StreamResponse:
        """Hand a request on, and give its answer on as it comes."""
        path = f"/api/{request.match_info['path']}"
        return await _counted(self._pass(request, caller, instance, path))

    async def websocket(self, request: web.Request, caller: Caller, instance: Instance) -> web.StreamResponse:
        """Connect a WebSocket with the upstream's; whatever else comes here is a request like others."""
        if web.WebSocketResponse().can_prepare(request).ok:
            return await _counted(self._websockets.connect(request, caller, instance))
        return await _counted(self._pass(request, caller, instance, "/ws"))

    async def _pass(self, request: web.Request, caller: Caller, instance: Instance, path: str) -> web.StreamResponse:
        credential = pass_headers(request, caller, instance)
        upload = Upload(request, self._limits.max_body_bytes, names_a_chat=path.startswith(_MESSAGES))
        response: web.StreamResponse | None = None
        try:
            with self._concurrency.place(instance.account_id):
                async with watched(self._limits.timeout_s, partial(is_gone, request)) as progress:
                    forwarded = Forwarded(
                        request.method,
                        f"{path}/{instance.target.session_path}",
                        query_without_token(request.rel_url.raw_query_string),
                        request.headers,
                        credential,
                        upload.pieces(progress) if upload.exists else None,
                        upload.length,
                    )
                    async with self._forwarding.exchange(instance.target, forwarded, progress) as answer:
                        await self._end_indicator(request, instance, upload, answer, progress)
                        response = response_to(request, answer)
                        await give_on(request, answer, response)
        except (GatewayError, ConnectionError) as error:
            if response is None or not response.prepared:
                raise upload.failure or error from None
            cut_off(request)
        return response

    async def _end_indicator(
        self, request: web.Request, instance: Instance, upload: Upload, answer: Answer, progress: Progress
    ) -> None:
        """End what the chat shows where its message was sent, whoever waits for the answer or not."""
        chat = upload.number.chat() if upload.number and answer.is_success else None
        if chat is None:
            return
        ending = asyncio.create_task(self._say(instance, chat))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        with progress.unwatched():
            # Not `timeout`: it would wait for a call to Redis that does not hear that it is cancelled.
            done, _ = await asyncio.wait({ending}, timeout=_MESSAGE_SENT_S)
        ending.cancel()
        request[CONTEXT].fields["message_sent"] = ending.result() if done else "timeout"

    async def _say(self, instance: Instance, chat: Chat) -> str:
        try:
            count(await self._presence.message_sent(instance, chat))
        except GatewayError as error:
            return type(error).__name__
        except Exception:  # noqa: BLE001 - logged whole; the message was sent, whatever became of its indicator
            _log.exception("message_sent_failed", instance=instance.id)
            return "failed"
        return "ok"


async def _counted(passing: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Count a request by what was answered; a WebSocket that opened was counted as it did, and has no duration."""
    began_s = time.perf_counter()
    status = 500
    try:
        response = await passing
        status = response.status
    except GatewayError as error:
        status = error.status
        raise
    finally:
        if status != SWITCHING:
            PASSED_REQUESTS.labels(status).inc()
            PASSED_DURATION.observe(time.perf_counter() - began_s)
    return response
