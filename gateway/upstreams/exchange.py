"""What is handed on to an upstream, and what it answers, piece by piece."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.presence.errors import UpstreamRejected
from gateway.presence.model import Target
from gateway.telemetry import trace
from gateway.upstreams.end_to_end import Headers, answer_headers, request_headers
from gateway.upstreams.progress import Progress
from gateway.upstreams.starring import Stars

_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request as its caller sent it.

    Attributes:
        method: of the usual ones.
        path: below the target's URL, every part of it quoted.
        query: raw, without the caller's token.
        headers: all that the caller sent.
        credential: the headers by which the upstream knows us.
        body: its pieces, or None where there is none.
        length: the body's, where it is known.
    """

    method: str
    path: str
    query: str
    headers: Headers
    credential: Mapping[str, str]
    body: AsyncIterable[bytes] | None = None
    length: int | None = None

    def url(self, target: Target) -> URL:
        """Return where this goes.

        Raises:
            ValueError: the target's URL is none.
        """
        query = f"?{self.query}" if self.query else ""
        return URL(f"{target.url.rstrip('/')}{self.path}{query}", encoded=True)

    def headers_to_send(self) -> CIMultiDict[str]:
        """Return the headers that the upstream is asked with."""
        headers = request_headers(self.headers, self.credential)
        headers.update(trace.outgoing())
        if self.length is not None:
            headers["Content-Length"] = str(self.length)
        return headers


class Answer:
    """What an upstream answered, the secret starred out."""

    def __init__(self, response: aiohttp.ClientResponse, stars: Stars, progress: Progress) -> None:
        """Read the head."""
        self.status = response.status
        self.has_limit = response.status == _TOO_MANY
        self.headers = answer_headers(response.headers, stars, with_limit=self.has_limit)
        self._content = response.content
        self._stars = stars.stream()
        self._progress = progress

    @property
    def is_success(self) -> bool:
        """Whether it says that what was asked for was done."""
        return 200 <= self.status < 300  # noqa: PLR2004

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            UpstreamRejected: it broke off.
        """
        try:
            async for piece in self._content.iter_any():
                self._progress.moved()
                yield self._stars.feed(piece)
        except (aiohttp.ClientError, OSError):
            raise UpstreamRejected from None
        yield self._stars.end()
