"""RyzeAPI, whose contract is our own: the hosted service, or another gateway like this one."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    EVERYONE,
    NOT_CONNECTED,
    NOT_KNOWN,
    REJECTED,
    TRY_LATER,
    UNAUTHORIZED,
    UNKNOWN,
    UNKNOWN_NUMBER,
    UNSUPPORTED,
    BrokenJSONError,
    ConnectionRow,
    ErrorRow,
    FakeUpstream,
    Recorded,
    Refused,
    Sleep,
    answer,
    go_body,
)
from fakes.ryzeapi_rest import Rest, error
from gateway.presence.model import STATE_OF_WORD, Chat, State
from gateway.upstreams.base import Connection

MAX_DURATION_S = 60
MISSING_TOKEN = "Missing token in header, Authorization header, or query parameter"
BAD_STATE = "Invalid state. Use 'typing', 'recording', or 'pause'"


def _recorded(name: str, status: int, text: str, outcomes: frozenset[Any], **headers: str) -> ErrorRow:
    return ErrorRow(name, status, outcomes, recorded=Recorded(status, error(text), headers))


class FakeRyzeapi(FakeUpstream):
    """Sessions are `connected`, `connecting`, `disconnected`, `loggedout` or `unknown`.

    A credential of `*` is an account's token. Failure mode: `limit` (429).
    """

    KIND = "ryzeapi"
    CHATS = EVERYONE
    LARGEST_BYTES = 160_000_000
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("no token", 401, UNAUTHORIZED, credential=""),
        ErrorRow("invalid token", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("instance token on another instance", 403, UNAUTHORIZED, session="nobody"),
        ErrorRow(
            "unknown instance", 404, NOT_CONNECTED, session="nobody", world={"credentials": {"right-credential": "*"}}
        ),
        ErrorRow("not connected", 503, NOT_CONNECTED, session_state="disconnected"),
        ErrorRow("rate limit", 429, TRY_LATER, world={"failing": "limit"}),
        _recorded("account token needed", 401, "Invalid account token", UNAUTHORIZED),
        _recorded("invalid body", 400, "Invalid request body", REJECTED),
        _recorded("number is required", 400, "Number is required", REJECTED),
        _recorded("state is required", 400, "State is required. Use 'typing', 'recording', or 'pause'", REJECTED),
        _recorded("invalid state", 400, BAD_STATE, REJECTED),
        _recorded("invalid number", 400, "Invalid number", UNKNOWN_NUMBER),
        _recorded("invalid duration", 400, "Invalid duration. Use an integer from 0 to 60", REJECTED),
        _recorded(
            "unsupported by what is behind it",
            501,
            "Presence 'typing' is not supported by this instance's upstream",
            UNSUPPORTED,
        ),
        _recorded("rejected by what is behind it", 502, "Upstream rejected the request", REJECTED),
        _recorded("unavailable", 503, "Service temporarily unavailable", TRY_LATER, **{"Retry-After": "1"}),
        _recorded("silence of what is behind it", 504, "Upstream did not answer in time", UNKNOWN),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("connected", CONNECTED),
        ConnectionRow("connecting", CONNECTING),
        ConnectionRow("disconnected", DISCONNECTED),
        ConnectionRow("loggedout", frozenset({Connection.LOGGEDOUT})),
        ConnectionRow("unknown", frozenset({Connection.UNKNOWN})),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self.rest = Rest(self)
        self._jobs: dict[tuple[str, str], asyncio.Task[None]] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/chat/presence/{instance}", self.presence),
            web.get("/api/instance/list", self.instances),
            *self.rest.routes(),
        ]

    def is_streamed(self, request: web.Request) -> bool:
        return self.rest.is_streamed(request)

    def is_presence(self, request: web.Request) -> bool:
        return request.path.startswith("/api/chat/presence/")

    async def presence(self, request: web.Request) -> web.Response:
        session = request.match_info["instance"]
        self.guard(request, session)
        chat, word, duration_s = await self._body(request)
        if self.sessions[session] != "connected":
            raise Refused(503, error("Instance is not connected to WhatsApp"))
        state = STATE_OF_WORD[word]
        self._show(session, chat, state, 0 if state is State.PAUSED else duration_s)
        return self._success(chat, word, 0 if state is State.PAUSED else duration_s)

    async def instances(self, request: web.Request) -> web.Response:
        scope = self._authenticate(request)
        names = (
            request.query.get("instanceName", "").split(",") if "instanceName" in request.query else [*self.sessions]
        )
        if scope != "*":
            names = [scope]
        found = [name for name in names if name in self.sessions]
        if not found:
            raise Refused(404, error("Instance not found"))
        instances = [self._listed(name) for name in found]
        message = f"{len(found)} Instance{'s' if len(found) > 1 else ''} found"
        body = {"success": True, "message": message, "instances": instances, "meta": {"total": len(found)}}
        return answer(200, body, self.limits())

    def _listed(self, name: str) -> dict[str, Any]:
        return {"id": name, "name": name, "status": "active", "connection": {"state": self.sessions[name]}}

    def _show(self, session: str, chat: Chat, state: State, duration_s: int) -> None:
        """The last command wins; one with a duration pauses by itself."""
        job = self._jobs.pop((session, chat.jid), None)
        if job is not None:
            job.cancel()
        self.show(session, chat.jid, state)
        if duration_s:
            self._jobs[session, chat.jid] = self.spawn(self._pause_later(session, chat, duration_s))

    async def _pause_later(self, session: str, chat: Chat, duration_s: int) -> None:
        await self.sleep(duration_s)
        self.show(session, chat.jid, State.PAUSED)

    def _authenticate(self, request: web.Request) -> str:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = request.headers.get("token") or bearer or request.query.get("token", "")
        if not token:
            raise Refused(401, error(MISSING_TOKEN))
        if token not in self.credentials:
            raise Refused(401, error("Invalid token"))
        if self.failing == "limit":
            headers = self.limits() | {"X-RateLimit-Remaining": "0", "Retry-After": "17"}
            raise Refused(429, error("Rate limit exceeded. Try again later."), headers)
        return self.credentials[token]

    def guard(self, request: web.Request, session: str) -> None:
        """401, then 429, then 403 and 404."""
        scope = self._authenticate(request)
        if scope not in {session, "*"}:
            raise Refused(403, error("Instance token does not match the requested instance"))
        if session not in self.sessions:
            raise Refused(404, error("Instance not found"))

    async def _body(self, request: web.Request) -> tuple[Chat, str, int]:
        try:
            body = await go_body(request)
        except BrokenJSONError:
            raise Refused(400, error("Invalid request body")) from None
        number, word, duration = body.get("number", ""), body.get("state", ""), body.get("duration", 0)
        if not isinstance(number, str) or not isinstance(word, str) or type(duration) is not int:
            raise Refused(400, error("Invalid request body"))
        if not number:
            raise Refused(400, error("Number is required"))
        if not word:
            raise Refused(400, error("State is required. Use 'typing', 'recording', or 'pause'"))
        word = word.lower()
        if word not in {"typing", "recording", "pause", "paused"}:
            raise Refused(400, error(BAD_STATE))
        if duration < 0:
            raise Refused(400, error("Invalid duration. Use an integer from 0 to 60"))
        return Chat.parse(number), word, min(duration, MAX_DURATION_S)

    def _success(self, chat: Chat, word: str, duration_s: int) -> web.Response:
        until = f" (will auto-pause after {duration_s} seconds)" if duration_s else ""
        message = f"Presence '{word}' sent successfully{until}"
        body = {"success": True, "message": message, "chat_jid": chat.jid, "state": word, "duration": duration_s}
        return answer(200, body, self.limits())

    def limits(self) -> dict[str, str]:
        return {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "99", "X-RateLimit-Reset": "1795305600"}
