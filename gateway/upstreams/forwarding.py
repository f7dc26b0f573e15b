"""Hands requests on to an upstream and its answers back, streaming; what goes wrong is an error of the tree.

Connections of its own, so that no presence waits for one. Nothing is sent twice, no redirect is followed, and every
secret is starred out on the way back.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError

from gateway.presence.calls import error_of
from gateway.presence.errors import UpstreamCredentialRefused, UpstreamNotAllowed, UpstreamRejected
from gateway.presence.model import Target
from gateway.upstreams.end_to_end import Headers, answer_headers
from gateway.upstreams.exchange import Answer, Forwarded
from gateway.upstreams.http import outcome_of
from gateway.upstreams.policy import PublicResolver, UpstreamPolicy
from gateway.upstreams.progress import Progress
from gateway.upstreams.resolver import asking_account
from gateway.upstreams.starring import stars_of

_KEEPALIVE_S = 3.5
"""As in `pools`: shorter than Node's 5 s, so that we seldom send on a connection that is being closed."""

_AT_ONCE_BYTES = 64 * 1024
"""How much of an answer is read ahead of its caller."""

_REFUSAL_BYTES = 64 * 1024
"""The most of an answer that is read in place of a WebSocket."""

_CLOSE_S = 2.0
_SWITCHING, _NOT_MODIFIED, _TOO_MANY = 101, 304, 429
_REFUSES_US = {401, 403}
_ADDED = ("User-Agent", "Content-Type", "Accept")
"""What aiohttp would add to a caller's headers by itself."""


class WebSocketRefused(Exception):
    """The upstream answered otherwise than with a WebSocket."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        """Keep what it answered."""
        super().__init__(status)
        self.status, self.headers, self.body = status, headers, body


class Forwarding:
    """The ways to upstreams that requests pass by: anywhere, and for tenants' own upstreams to public addresses."""

    def __init__(self, anywhere: aiohttp.ClientSession, public: aiohttp.ClientSession, policy: UpstreamPolicy) -> None:
        """Use these; their owner closes them."""
        self._anywhere = anywhere
        self._public = public
        self._policy = policy

    @asynccontextmanager
    async def exchange(self, target: Target, forwarded: Forwarded, progress: Progress) -> AsyncIterator[Answer]:
        """Hand a request on; inside the block its answer is read, and behind it all of it is over.

        Raises:
            UpstreamUnavailable: nobody was reached.
            UpstreamSilent: nobody knows whether the upstream acted.
            UpstreamCredentialRefused: it refused our credential.
            UpstreamRejected: it answered with what cannot be given on.
            UpstreamNotAllowed: the operator's rules keep us from there.
        """
        session = self._session(target)
        try:
            response = await session.request(
                forwarded.method,
                forwarded.url(target),
                headers=forwarded.headers_to_send(),
                data=forwarded.body,
                allow_redirects=False,
            )
        except ValueError:  # aiohttp.InvalidURL is one
            raise UpstreamRejected from None
        try:
            _refuse_what_cannot_be_given_on(response)
            progress.moved()
            yield Answer(response, stars_of(target.credential), progress)
        finally:
            response.close()

    @asynccontextmanager
    async def websocket(
        self, target: Target, forwarded: Forwarded, *, protocols: Sequence[str], heartbeat_s: float, most_bytes: int
    ) -> AsyncIterator["aiohttp.ClientWebSocketResponse[bool]"]:
        """Open a WebSocket for the block.

        Raises:
            WebSocketRefused: with the answer to give on.
            GatewayError: as `exchange`.
        """
        try:
            websocket = await self._session(target).ws_connect(
                forwarded.url(target),
                headers=forwarded.headers_to_send(),
                protocols=protocols,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                autoclose=False,
                autoping=False,
                heartbeat=heartbeat_s,
                max_msg_size=most_bytes,
                decode_text=False,
            )
        except WebSocketRefused as refused:
            stars = stars_of(target.credential)
            headers = answer_headers(refused.headers, stars, with_limit=refused.status == _TOO_MANY)
            raise WebSocketRefused(refused.status, headers, stars.whole(refused.body)) from None
        except (aiohttp.WSServerHandshakeError, ValueError):
            raise UpstreamRejected from None
        try:
            yield websocket
        finally:
            await websocket.close()

    def _session(self, target: Target) -> aiohttp.ClientSession:
        asking_account.set(target.account_id)
        match self._policy.route(target):
            case "open":
                return self._anywhere
            case "guarded":
                return self._public
            case _:
                raise UpstreamNotAllowed


@asynccontextmanager
async def open_forwarding(
    resolver: AbstractResolver, *, connect_timeout_s: float, policy: UpstreamPolicy
) -> AsyncIterator[Forwarding]:
    """Open the ways to upstreams; how much is under way on them is bounded by who calls."""
    anywhere, public = _session(resolver, connect_timeout_s), _session(PublicResolver(resolver), connect_timeout_s)
    async with anywhere, public:
        yield Forwarding(anywhere, public, policy)


def _session(resolver: AbstractResolver, connect_timeout_s: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # As in `pools`: the resolver remembers names.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, resolver=resolver, use_dns_cache=False),
        # One caller's cookies are not another's.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
        auto_decompress=False,
        read_bufsize=_AT_ONCE_BYTES,
        skip_auto_headers=_ADDED,
        middlewares=(_once,),
    )


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request, and turn what goes wrong into an error that aiohttp's session does not try again.

    It repeats a request of an idempotent method whose kept connection broke, where nobody knows what became of it.
    """
    try:
        response = await send(request)
        if request.headers.get("Upgrade") == "websocket" and response.status != _SWITCHING:
            await _refuse_websocket(response)
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise error_of(outcome_of(error), "") from None
    return response


async def _refuse_websocket(response: aiohttp.ClientResponse) -> None:
    """Read what came in place of a WebSocket.

    Raises:
        WebSocketRefused: with it.
        GatewayError: it cannot be given on.
    """
    try:
        _refuse_what_cannot_be_given_on(response)
        body = await response.content.read(_REFUSAL_BYTES)
        while len(body) < _REFUSAL_BYTES and (more := await response.content.read(_REFUSAL_BYTES - len(body))):
            body += more
        if not response.content.at_eof():
            raise UpstreamRejected
        raise WebSocketRefused(response.status, response.headers, body)
    finally:
        response.close()


def _refuse_what_cannot_be_given_on(response: aiohttp.ClientResponse) -> None:
    """Raise for what the caller must not read as the upstream's answer to them.

    Raises:
        UpstreamCredentialRefused: our credential was refused, which says nothing about the caller's.
        UpstreamRejected: it is a redirect or no answer, or compressed against our asking, so that nothing in it can
            be starred out.
    """
    status = response.status
    if status in _REFUSES_US:
        raise UpstreamCredentialRefused
    is_redirect = 300 <= status < 400 and status != _NOT_MODIFIED  # noqa: PLR2004
    encoding = response.headers.get("Content-Encoding", "identity")
    if is_redirect or status == _SWITCHING or encoding.lower() != "identity":
        raise UpstreamRejected
