"""One request on its way to the upstream: its body counted and looked at as it streams, its answer given on."""

from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.api.context import CONTEXT
from gateway.api.guards import Caller
from gateway.api.number_finder import NumberFinder
from gateway.presence.errors import (
    BodyTooLarge,
    BodyTooSlow,
    CallerLeft,
    GatewayError,
    InvalidBody,
    RouteUnsupported,
    StoreUnavailable,
    UpstreamCredentialSealed,
)
from gateway.presence.model import Instance
from gateway.upstreams.end_to_end import is_decoded
from gateway.upstreams.exchange import Answer
from gateway.upstreams.progress import Progress
from gateway.upstreams.registry import ADAPTERS


class Upload:
    """A request's body, in pieces.

    Attributes:
        failure: why it ended too early, which is not the upstream's doing.
        number: whom the body names, where that is looked for.
    """

    def __init__(self, request: web.Request, most_bytes: int, *, names_a_chat: bool) -> None:
        """Refuse a body at once whose length says that it is too long.

        Raises:
            BodyTooLarge: it is.
        """
        self._request = request
        self._most_bytes = most_bytes
        self.exists = request.body_exists
        # Bytes that our server decodes are others than those whose length the caller told.
        self.length = None if is_decoded(request.headers) or not self.exists else request.content_length
        self.number = NumberFinder() if names_a_chat else None
        self.failure: GatewayError | None = None
        if (request.content_length or 0) > most_bytes:
            raise BodyTooLarge

    async def pieces(self, progress: Progress) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            GatewayError: its end will not come; `failure` keeps it, since aiohttp would give another reason.
        """
        passed = 0
        while piece := await self._next(progress):
            passed += len(piece)
            if passed > self._most_bytes:
                self.failure = BodyTooLarge()
                raise self.failure
            if self.number is not None:
                self.number.feed(piece)
            yield piece

    async def _next(self, progress: Progress) -> bytes:
        """Return what has arrived, and nothing at the end."""
        progress.moved(next_is=BodyTooSlow)
        try:
            piece = await self._request.content.readany()
        except (web.RequestPayloadError, HttpProcessingError):
            self.failure = InvalidBody()
            raise self.failure from None
        except OSError:
            self.failure = CallerLeft()
            raise self.failure from None
        progress.moved()
        return piece


def pass_headers(request: web.Request, caller: Caller, instance: Instance) -> Mapping[str, str]:
    """Return the headers by which the instance's upstream knows us.

    Raises:
        RouteUnsupported: nothing passes through to this kind of upstream.
        UpstreamCredentialSealed: no key opens its credential.
        StoreUnavailable: only memory vouches for the caller, and nobody counts their requests.
    """
    request[CONTEXT].fields["instance"] = instance.id
    adapter = ADAPTERS.get(instance.target.kind)
    headers = adapter.pass_headers(instance.target) if adapter else None
    if headers is None:
        raise RouteUnsupported
    if instance.target.sealed:
        raise UpstreamCredentialSealed
    if caller.store_is_down:
        raise StoreUnavailable
    return headers


def is_gone(request: web.Request) -> bool:
    """Whether the caller closed their connection."""
    return request.transport is None or request.transport.is_closing()


async def give_on(request: web.Request, answer: Answer, response: web.StreamResponse) -> None:
    """Give an answer on as it comes, waiting for the caller to read it.

    Raises:
        GatewayError: its end will not come.
        ConnectionError: the caller left.
    """
    await response.prepare(request)
    async for piece in answer.pieces():
        await response.write(piece)
    await response.write_eof()


def response_to(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Word the head of what is given on, with our own headers."""
    context = request[CONTEXT]
    if answer.has_limit:
        context.quota = None
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.headers.update(context.headers)
    return response


def cut_off(request: web.Request) -> None:
    """End a connection whose answer has begun and will not be whole, so that nobody takes it for whole."""
    request[CONTEXT].fields["cut_off"] = True
    if request.transport is not None:
        request.transport.abort()
