"""QuePasa: answers at once and pauses by itself; a duration of 0 pauses at once, and tenants share one timer."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    NOT_CONNECTED,
    PEOPLE_AND_GROUPS,
    REJECTED,
    UNKNOWN_NUMBER,
    BrokenJSONError,
    ErrorRow,
    FakeUpstream,
    Recorded,
    Refused,
    Sleep,
    answer,
    go_body,
    one_of,
)
from gateway.presence.model import Outcome, State

TICK_S = 0.5
ALLOWED_SUFFIX = {"g.us", "s.whatsapp.net", "lid"}
TYPES = ("text", "audio", "paused")
STATE_OF = {"text": State.TYPING, "audio": State.RECORDING, "paused": State.PAUSED}
BAD_TOKEN = one_of(Outcome.UNAUTHORIZED, Outcome.NOT_CONNECTED)
"""The token is both the credential and the session, so that "session not found" is true of either."""


def error(text: str) -> dict[str, Any]:
    return {"success": False, "status": text}


class FakeQuepasa(FakeUpstream):
    """Sessions are `ready`, or the status word of one that is not. The token names the server."""

    KIND = "quepasa"
    CHATS = PEOPLE_AND_GROUPS
    UP = "ready"
    WRONG_CREDENTIAL = BAD_TOKEN
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing token", 400, BAD_TOKEN, credential=""),
        ErrorRow("unknown token", 400, BAD_TOKEN, credential="wrong"),
        ErrorRow("not ready", 503, NOT_CONNECTED, session_state="disconnected"),
        ErrorRow("chatid is required", 400, REJECTED, recorded=Recorded(400, error("chatid is required"))),
        ErrorRow("invalid chatid", 400, UNKNOWN_NUMBER, recorded=Recorded(400, error("invalid chatid: 5511999999999"))),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self._jobs: dict[str, asyncio.Task[None]] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        presence = ("/chat/presence", "/chats/presence", "/server/{token}/chat/presence")
        return [web.post(prefix + path, self.presence) for prefix in ("", "/current", "/v4") for path in presence]

    def is_presence(self, request: web.Request) -> bool:
        return request.path.endswith("/presence")

    async def presence(self, request: web.Request) -> web.Response:
        """Ready, then cancel the chat's job, then send, then start a new one."""
        session = self._guard(request)
        jid, kind, duration_ms = await self._body(request)
        job = self._jobs.pop(jid.upper(), None)
        if job is not None:
            job.cancel()
        self.show(session, jid, STATE_OF[kind])
        if kind != "paused":
            self._jobs[jid.upper()] = self.spawn(self._pause_later(session, jid, duration_ms / 1000))
        previous = "true" if job is not None else "false"
        return answer(200, {"success": True, "status": f"presence indicator {kind}, previous: {previous}"})

    async def _pause_later(self, session: str, jid: str, left_s: float) -> None:
        while left_s > 0:
            await self.sleep(TICK_S)
            left_s -= TICK_S
        self.show(session, jid, State.PAUSED)

    def _guard(self, request: web.Request) -> str:
        header = request.headers.get("X-QUEPASA-TOKEN", "")
        token = request.match_info.get("token") or request.query.get("token") or header
        session = self.credentials.get(token)
        if session is None or session not in self.sessions:
            raise Refused(400, error("session not found"))
        if self.sessions[session] != "ready":
            raise Refused(503, error(f"server (wid) not ready yet ! current status: {self.sessions[session]}"))
        return session

    async def _body(self, request: web.Request) -> tuple[str, str, float]:
        try:
            body = await go_body(request)
        except BrokenJSONError:
            raise Refused(400, error("invalid json body")) from None
        chat_id, kind, duration = body.get("chatid"), body.get("type"), body.get("duration", 0)
        if not chat_id:
            raise Refused(400, error("chatid is required"))
        if isinstance(kind, int) and not isinstance(kind, bool) and 0 <= kind < len(TYPES):
            kind = TYPES[kind]
        if kind not in TYPES or not isinstance(duration, int):
            raise Refused(400, error("invalid json body"))
        return _endpoint(str(chat_id)), str(kind), duration


def _endpoint(chat_id: str) -> str:
    if "@" in chat_id:
        if chat_id.partition("@")[2] not in ALLOWED_SUFFIX:
            raise Refused(400, error(f"invalid chatid: invalid suffix @ recipient {chat_id}"))
        return chat_id
    user = chat_id.removeprefix("+")
    if not user.replace("-", "").isdigit():
        raise Refused(400, error(f"invalid chatid: {chat_id}"))
    return f"{user}@g.us" if "-" in user else f"{user}@s.whatsapp.net"
