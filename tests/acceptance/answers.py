"""What the gateway answers, and the shape that every answer has."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

QUOTA_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@dataclass(frozen=True)
class Answer:
    """What the gateway said, to the byte."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    took_s: float

    @property
    def body(self) -> dict[str, Any]:
        parsed = json.loads(self.raw)
        assert isinstance(parsed, dict), self.raw
        return parsed

    @property
    def message(self) -> str:
        error = self.body.get("error")
        assert isinstance(error, dict), self.raw
        return str(error["message"])

    @property
    def remaining(self) -> int:
        return int(self.headers["X-RateLimit-Remaining"])

    @property
    def reset(self) -> int:
        return int(self.headers["X-RateLimit-Reset"])


def assert_enveloped(answer: Answer) -> None:
    """1. Envelope: JSON that begins with `success`; an error holds its message and nothing else."""
    assert answer.headers["Content-Type"].split(";")[0].strip() == "application/json"
    assert answer.headers.get("X-Request-Id"), "every answer names its request"
    body = answer.body
    assert next(iter(body)) == "success"
    if answer.status < 400:
        assert body["success"] is True
        return
    assert body == {"success": False, "error": {"message": body["error"]["message"]}}
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
    assert b"Traceback" not in answer.raw


def assert_error(answer: Answer, status: int, message: str) -> None:
    assert_enveloped(answer)
    assert (answer.status, answer.message) == (status, message)


def assert_quota(answer: Answer, limit: int | None = None) -> None:
    """3. Rate limit: the three headers, whole numbers, and a Reset that is near."""
    told = {name: answer.headers.get(name) for name in QUOTA_HEADERS}
    assert all(value is not None and value.isdigit() for value in told.values()), told
    if limit is not None:
        assert int(answer.headers["X-RateLimit-Limit"]) == limit
    assert 0 <= answer.remaining <= int(answer.headers["X-RateLimit-Limit"])
    assert time.time() - 2 <= answer.reset <= time.time() + 62
