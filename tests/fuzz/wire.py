"""One connection that sends bytes and reads one answer, without a client library's manners."""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from fuzz.generator import Request

ANSWER_S = 60.0
"""Longer than any call to an upstream, than a body is waited for, and than keys are rotated on a busy machine."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*")
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class Malformed(Exception):
    """What came back is no HTTP."""


class Connection:
    """Kept open for as long as the server keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> Answer | None:
        """Send it, and return the answer; None where the server hung up without one."""
        was_open = self._streams is not None
        answer = await self._ask(request)
        # Closed while it was idle: that says nothing of this request.
        return await self._ask(request) if answer is None and was_open else answer

    async def _ask(self, request: Request) -> Answer | None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        answer = None
        async with asyncio.timeout(ANSWER_S):
            with suppress(OSError, asyncio.IncompleteReadError):
                writer.write(request.raw)
                if request.is_broken and writer.can_write_eof():
                    writer.write_eof()  # whatever it waits for, nothing more comes
                answer = await self._read(reader, is_head=request.is_head)
        if answer is None or request.is_broken or answer.headers.get("Connection") == "close":
            self.close()
        return answer

    async def _read(self, reader: asyncio.StreamReader, *, is_head: bool) -> Answer:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        found = _STATUS.fullmatch(line)
        if found is None:
            raise Malformed(head)
        status = int(found[1])
        if status == 100:
            return await self._read(reader, is_head=is_head)
        parts = [one.partition(b": ") for one in lines]
        headers = CIMultiDict((name.decode("ascii"), value.decode("ascii")) for name, _, value in parts)
        body = b"" if is_head else await reader.readexactly(int(headers["Content-Length"]))
        return Answer(status, headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def objection(request: Request, answer: Answer | None) -> str | None:
    """Say what is wrong with an answer, or with there being none."""
    if answer is None:
        return None if request.is_broken else "no answer"
    if answer.status not in request.allowed:
        return f"{answer.status} is not documented"
    if request.is_head:
        return None
    if answer.status >= 400:
        return _refusal(answer)
    if request.route.startswith("GET ") and not answer.headers["Content-Type"].startswith("application/json"):
        return None  # a page
    return _object(answer.body)[1]


def _refusal(answer: Answer) -> str | None:
    told, wrong = _object(answer.body)
    if wrong:
        return wrong
    error = told.get("error")
    if told.keys() != {"success", "error"} or told["success"] is not False or not isinstance(error, dict):
        return "no envelope"
    if error.keys() != {"message"} or not isinstance(error["message"], str) or not error["message"]:
        return "no message"
    if not _SANE_ID.fullmatch(answer.headers.get("X-Request-Id", "")):
        return "no request id"
    return None


def _object(body: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}, "no JSON"
    return (told, None) if isinstance(told, dict) else ({}, "no object")
