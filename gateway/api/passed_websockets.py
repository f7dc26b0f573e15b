"""`GET /ws/{instance}` as a WebSocket: the caller's on one side, the upstream's on the other (contract section 7)."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from weakref import WeakSet, WeakValueDictionary

from aiohttp import WSCloseCode, web

from gateway.api.concurrency import ConcurrencyLimit
from gateway.api.context import CONTEXT
from gateway.api.guards import Caller
from gateway.api.passing import is_gone, pass_headers
from gateway.api.sender import token_of
from gateway.presence.errors import StoreUnavailable
from gateway.presence.model import Instance
from gateway.telemetry.metrics import PASSED_REQUESTS
from gateway.upstreams.end_to_end import query_without_token
from gateway.upstreams.exchange import Forwarded
from gateway.upstreams.forwarding import WebSocketRefused
from gateway.upstreams.progress import watched
from gateway.upstreams.starring import stars_of
from gateway.upstreams.websockets import CallersSide, MessageRate, UpstreamsSide, relay
from gateway.wiring import Services

SWITCHING = 101

_HEARTBEAT_S = 30.0
"""A side that has gone without a word is noticed after one and a half of these."""

_CLOSE_S = 2.0
_TOO_MANY = 429


class PassedWebSockets:
    """The WebSockets that are open in this process, so many at a time."""

    def __init__(self, services: Services) -> None:
        """Begin with none."""
        self._services = services
        self._limits = services.settings.pass_
        self._concurrency = ConcurrencyLimit(self._limits.websockets, self._limits.websockets_per_account)
        self._open: WeakSet[CallersSide] = WeakSet()
        self._rates: WeakValueDictionary[str, MessageRate] = WeakValueDictionary()

    async def connect(self, request: web.Request, caller: Caller, instance: Instance) -> web.StreamResponse:
        """Open the upstream's side first, so that its refusal is still an answer; then ours, and carry."""
        credential = pass_headers(request, caller, instance)
        forwarded = Forwarded(
            "GET",
            f"/ws/{instance.target.session_path}",
            query_without_token(request.rel_url.raw_query_string),
            request.headers,
            credential,
        )
        with self._concurrency.place(instance.account_id):
            async with AsyncExitStack() as stack:
                try:
                    async with watched(self._limits.timeout_s, partial(is_gone, request)):
                        upstream = await stack.enter_async_context(self._upstream(request, instance, forwarded))
                except WebSocketRefused as refused:
                    return _refusal(request, refused)
                return await self._carry(request, instance, upstream)

    async def close(self, _: web.Application) -> None:
        """Ask whoever has one open to open it elsewhere."""
        await asyncio.gather(*(websocket.close(code=WSCloseCode.GOING_AWAY) for websocket in list(self._open)))

    async def _carry(self, request: web.Request, instance: Instance, upstream: UpstreamsSide) -> CallersSide:
        caller: CallersSide = web.WebSocketResponse(
            timeout=_CLOSE_S,
            autoclose=False,
            autoping=False,
            heartbeat=_HEARTBEAT_S,
            protocols=[upstream.protocol] if upstream.protocol else [],
            compress=False,
            max_msg_size=self._limits.max_message_bytes,
            decode_text=False,
        )
        caller.headers.update(request[CONTEXT].headers)
        await caller.prepare(request)
        PASSED_REQUESTS.labels(SWITCHING).inc()
        self._open.add(caller)
        rate = self._rates.setdefault(instance.account_id, MessageRate(self._limits.messages_per_s))
        stars = stars_of(instance.target.credential)
        await relay(caller, upstream, stars, rate, partial(self._until_refused, request, instance))
        return caller

    def _upstream(
        self, request: web.Request, instance: Instance, forwarded: Forwarded
    ) -> AbstractAsyncContextManager[UpstreamsSide]:
        protocols = request.headers.get("Sec-WebSocket-Protocol", "")
        return self._services.forwarding.websocket(
            instance.target,
            forwarded,
            protocols=[name.strip() for name in protocols.split(",") if name.strip()],
            heartbeat_s=_HEARTBEAT_S,
            most_bytes=self._limits.max_message_bytes,
        )

    async def _until_refused(self, request: web.Request, instance: Instance) -> None:
        """Return once the caller's token, or the instance as it was, is none any more."""
        token_hash = self._services.hasher(token_of(request) or "")
        while True:
            await asyncio.sleep(self._limits.recheck_s)
            # A look is never cancelled: redis-py may answer a cancelled command, and this would go on for ever.
            if not await asyncio.shield(self._may_read_on(token_hash, instance)):
                return

    async def _may_read_on(self, token_hash: str, instance: Instance) -> bool:
        directory = self._services.directory
        try:
            is_valid = await directory.identify(token_hash) is not None
            return is_valid and await directory.find_by_id(instance.id) == instance
        except StoreUnavailable:
            return True


def _refusal(request: web.Request, refused: WebSocketRefused) -> web.Response:
    context = request[CONTEXT]
    if refused.status == _TOO_MANY:
        context.quota = None
    return web.Response(status=refused.status, headers=refused.headers, body=refused.body)
