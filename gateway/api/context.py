"""What is found out about a request on its way, for its answer's headers, its log line and its metrics."""

from dataclasses import dataclass, field

from aiohttp import web

from gateway.presence.model import Quota


@dataclass(slots=True)
class RequestContext:
    """One request's; whoever finds something out writes it down here.

    Attributes:
        request_id: the caller's where it is sane, else ours.
        auth_result: what became of the caller's token, or None where none is asked for.
        account: whose it is.
        quota: what is left of it.
        fields: what else the log line says.
    """

    request_id: str
    auth_result: str | None = None
    account: str | None = None
    quota: Quota | None = None
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """What every answer to this request carries."""
        headers = {"X-Request-Id": self.request_id, "X-Content-Type-Options": "nosniff"}
        if self.quota is not None:
            headers["X-RateLimit-Limit"] = str(self.quota.limit)
            headers["X-RateLimit-Remaining"] = str(self.quota.remaining)
            headers["X-RateLimit-Reset"] = str(self.quota.reset_s)
        return headers


CONTEXT: web.RequestKey[RequestContext] = web.RequestKey("notes", RequestContext)
