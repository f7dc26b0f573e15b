"""Around every request: its id, the errors' envelope, the limit's headers, one log line, the metrics."""

import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.context import CONTEXT, RequestContext
from gateway.api.sender import request_id_of, traceparent_of
from gateway.presence.errors import GatewayError
from gateway.process import envelope
from gateway.telemetry import trace
from gateway.telemetry.metrics import AUTH, HTTP_DURATION, HTTP_REQUESTS, RATE_LIMIT_DECISIONS

_MESSAGE_OF_STATUS = {
    404: "Not found",
    405: "Method not allowed",
    413: "Request body too large",
    417: "Expectation failed",
}

_log = structlog.get_logger()


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request in the envelope, and leave one line and a few counts behind."""
    began = time.perf_counter()
    notes = request[CONTEXT] = RequestContext(request_id_of(request))
    method, route = _method(request), _route(request)
    with trace.arrived(traceparent_of(request), f"{method} {route}", "server") as span:
        response = await _answer(request, handler, notes)
        span.note("http.response.status_code", response.status)
    if span.trace is not None:
        notes.fields["trace_id"] = span.trace.trace_id
    # One that streams has left already, with these.
    response.headers.update(notes.headers)
    _record(notes, method, route, response.status, time.perf_counter() - began)
    return response


async def _answer(request: web.Request, handler: Handler, notes: RequestContext) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        notes.fields["error"] = type(error).__name__
        return envelope.refusal(error)
    except web.HTTPException as error:
        response = envelope.failure(error.status, _MESSAGE_OF_STATUS.get(error.status, error.reason))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:  # noqa: BLE001 - the last line of defence: logged whole, told to nobody
        _log.exception("request_failed", request_id=notes.request_id)
        return envelope.refusal(GatewayError())


def _record(notes: RequestContext, method: str, route: str, status: int, seconds: float) -> None:
    HTTP_REQUESTS.labels(method, route, status).inc()
    HTTP_DURATION.labels(route).observe(seconds)
    auth = notes.auth_result
    if auth is not None:
        AUTH.labels(auth).inc()
    if auth == "ok":
        # An upstream's own 429 is given on without a quota of ours.
        is_refused = status == _TOO_MANY and notes.quota is not None
        RATE_LIMIT_DECISIONS.labels("refused" if is_refused else "admitted").inc()
    _log.info(
        "request",
        method=method,
        route=route,
        status=status,
        ms=round(seconds * 1000, 1),
        request_id=notes.request_id,
        account=notes.account,
        **notes.fields,
    )


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"


def _method(request: web.Request) -> str:
    """Return a method that exists; a caller may invent any number of others."""
    return request.method if request.method in _METHODS else "other"


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_TOO_MANY = 429
