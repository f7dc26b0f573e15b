"""The two shapes of every answer (contract section 1)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from gateway.presence.errors import GatewayError

_encode = msgspec.json.Encoder().encode


def success(answer: Mapping[str, Any] | msgspec.Struct, *, status: int = 200) -> web.Response:
    """Answer an object that begins with `"success": true`; there is something in it beside that."""
    body = b'{"success":true,' + _encode(answer)[1:]
    return web.Response(body=body, status=status, content_type="application/json")


def failure(status: int, message: str) -> web.Response:
    """Answer `{"success": false, "error": {"message": ...}}` and nothing else."""
    return web.Response(body=_refusal(message), status=status, content_type="application/json")


@lru_cache(maxsize=256)
def _refusal(message: str) -> bytes:
    return _encode({"success": False, "error": {"message": message}})


def refusal(error: GatewayError) -> web.Response:
    """Answer an error of the tree, with its advice on when to try again."""
    response = failure(error.status, error.message)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
