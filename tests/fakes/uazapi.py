"""uazapiGO: answers at once, re-sends every 10 s by itself and pauses after `delay`, or after five minutes."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    BAD_NUMBER,
    NOT_CONNECTED,
    REJECTED,
    UNAUTHORIZED,
    BrokenJSONError,
    ErrorRow,
    FakeUpstream,
    Refused,
    Sleep,
    answer,
    go_body,
)
from gateway.presence.model import ChatKind, State

MAX_DELAY_MS = 300_000
REFRESH_S = 10.0
STATE_OF = {"composing": State.TYPING, "recording": State.RECORDING, "paused": State.PAUSED}


def error(text: str) -> dict[str, str]:
    return {"error": text}


class FakeUazapi(FakeUpstream):
    """Sessions are `connected` or `disconnected`; the token names the instance.

    Failure modes: `send` (500), `bad-number` (400).
    """

    KIND = "uazapi"
    CHATS = frozenset({ChatKind.PHONE, ChatKind.GROUP})
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing token", 401, UNAUTHORIZED, credential=""),
        ErrorRow("invalid token", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("invalid number or presence", 400, BAD_NUMBER, world={"failing": "bad-number"}),
        ErrorRow("send failed", 500, REJECTED, world={"failing": "send"}),
        ErrorRow("no session", 500, NOT_CONNECTED, session_state="disconnected"),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self._jobs: dict[tuple[str, str], asyncio.Task[None]] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/message/presence", self.presence)]

    def is_presence(self, request: web.Request) -> bool:
        return request.path == "/message/presence"

    async def presence(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        jid, state, delay_ms = await self._body(request)
        if self.sessions[session] != "connected":
            raise Refused(500, error("No session"))
        if self.failing == "send":
            raise Refused(500, error("Erro ao enviar presença"))
        self.cancel(session, jid)
        self.show(session, jid, state)
        if state is not State.PAUSED:
            self._jobs[session, jid] = self.spawn(self._hold(session, jid, state, delay_ms / 1000))
        return answer(200, {"response": "Chat presence sent successfully"})

    def cancel(self, session: str, jid: str) -> None:
        """End the background job: a pause does, and so does a message to the chat."""
        job = self._jobs.pop((session, jid), None)
        if job is not None:
            job.cancel()

    async def _hold(self, session: str, jid: str, state: State, left_s: float) -> None:
        while left_s > REFRESH_S:
            await self.sleep(REFRESH_S)
            left_s -= REFRESH_S
            self.show(session, jid, state)
        await self.sleep(left_s)
        self.show(session, jid, State.PAUSED)

    def _guard(self, request: web.Request) -> str:
        session = self.credentials.get(request.headers.get("token", ""))
        if session is None or session not in self.sessions:
            raise Refused(401, error("Token inválido ou expirado"))
        return session

    async def _body(self, request: web.Request) -> tuple[str, State, float]:
        try:
            body: dict[str, Any] = await go_body(request)
        except BrokenJSONError:
            body = {}
        number, state, delay = body.get("number"), STATE_OF.get(str(body.get("presence"))), body.get("delay")
        if self.failing == "bad-number" or not isinstance(number, str) or not number or state is None:
            raise Refused(400, error("Número inválido ou tipo de presença inválido"))
        jid = number if "@" in number else f"{number.lstrip('+')}@s.whatsapp.net"
        delay_ms = delay if isinstance(delay, int | float) and delay <= MAX_DELAY_MS else MAX_DELAY_MS
        return jid, state, delay_ms
