"""evolution-go: a plain number is answered 200 and shows nothing, because it is addressed with a leading `+`."""

import re
from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    EVERYONE,
    NOT_CONNECTED,
    NOT_KNOWN,
    NOT_LOGGED_IN,
    REJECTED,
    UNAUTHORIZED,
    UNKNOWN_NUMBER,
    BrokenJSONError,
    ConnectionRow,
    ErrorRow,
    FakeUpstream,
    Recorded,
    Refused,
    answer,
    go_body,
)
from gateway.presence.model import State

LICENCE = {"error": "service not activated", "code": "LICENSE_REQUIRED"}
START_S = 2.0
_NUMBER = re.compile(r"\+?[0-9]{5,20}")


def error(text: str) -> dict[str, str]:
    return {"error": text}


class FakeEvolutionGo(FakeUpstream):
    """Sessions are `connected`, `logged-out`, `disconnected` (known, its client is down) or `no-session` (never
    started). The credential is the instance's token and names the instance.

    Failure modes: `licence`, `invalid-number`.
    """

    KIND = "evolution_go"
    CHATS = EVERYONE
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing token", 401, UNAUTHORIZED, credential=""),
        ErrorRow("unknown token is an unknown instance", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("client disconnected", 500, NOT_CONNECTED, session_state="disconnected"),
        ErrorRow("no active session found", 500, NOT_CONNECTED, session_state="no-session"),
        ErrorRow("invalid phone number", 500, UNKNOWN_NUMBER, world={"failing": "invalid-number"}),
        ErrorRow("phone number is required", 400, REJECTED, recorded=Recorded(400, error("phone number is required"))),
        ErrorRow("state is required", 400, REJECTED, recorded=Recorded(400, error("state is required"))),
        ErrorRow(
            "Invalid number format",
            400,
            UNKNOWN_NUMBER,
            recorded=Recorded(400, error("Invalid number format: 5511999999999@s.whatsapp.net")),
        ),
        ErrorRow(
            "number is required and cannot be empty",
            400,
            REJECTED,
            recorded=Recorded(400, error("number is required and cannot be empty")),
        ),
        ErrorRow("Invalid JSON format", 400, REJECTED, recorded=Recorded(400, error("Invalid JSON format"))),
        ErrorRow("without licence", 503, REJECTED, world={"failing": "licence"}),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("connected", CONNECTED),
        ConnectionRow("connected", CONNECTED, {"style": "old"}),
        ConnectionRow("logged-out", NOT_LOGGED_IN),
        ConnectionRow("logged-out", NOT_LOGGED_IN, {"style": "old"}),
        ConnectionRow("disconnected", NOT_KNOWN),
        ConnectionRow("no-session", NOT_KNOWN),
    )

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/message/presence", self.presence),
            web.get("/instance/status", self.status),
            web.get("/server/ok", self.ok),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path == "/message/presence"

    async def presence(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        number, state, is_audio = await self._body(request)
        await self._client(session)
        if self.failing == "invalid-number":
            raise Refused(500, error("invalid phone number"))
        jid = number if "@" in number else f"+{number.lstrip('+')}@s.whatsapp.net"
        if state == "composing":
            self.show(session, jid, State.RECORDING if is_audio else State.TYPING)
        elif state == "paused":
            self.show(session, jid, State.PAUSED)
        return answer(200, {"message": "success", "data": {"timestamp": "0001-01-01 00:00:00 +0000 UTC"}})

    async def status(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        state = self.sessions[session]
        if state in {"disconnected", "no-session"}:
            raise Refused(400, error(_down(state)))
        data: dict[str, Any] = {"Connected": True, "LoggedIn": state == "connected", "Name": session}
        if self.style == "old":
            data = {key[0].lower() + key[1:]: value for key, value in data.items()}
        return answer(200, {"message": "success", "data": data})

    async def ok(self, _: web.Request) -> web.Response:
        return answer(200, {"status": "ok"})

    def _guard(self, request: web.Request) -> str:
        if self.failing == "licence":
            raise Refused(503, LICENCE)
        session = self.credentials.get(request.headers.get("apikey", ""))
        if session is None or session not in self.sessions:
            raise Refused(401, error("not authorized"))
        return session

    async def _body(self, request: web.Request) -> tuple[str, str, bool]:
        try:
            body = await go_body(request)
        except BrokenJSONError:
            raise Refused(400, error("Invalid JSON format")) from None
        number, state = body.get("number"), body.get("state")
        if number is None:
            raise Refused(400, error("phone number is required"))
        if number == "":
            raise Refused(400, error("number is required and cannot be empty"))
        if not isinstance(number, str) or ("@" not in number and not _NUMBER.fullmatch(number)):
            raise Refused(400, error(f"Invalid number format: {number}"))
        if not state:
            raise Refused(400, error("state is required"))
        return number, str(state), body.get("isAudio") is True

    async def _client(self, session: str) -> None:
        """A client that is down is started, which takes 2 s, in vain."""
        state = self.sessions[session]
        if state in {"disconnected", "no-session"}:
            await self.sleep(START_S)
            raise Refused(500, error(_down(state)))


def _down(state: str) -> str:
    return "client disconnected" if state == "disconnected" else "no active session found"
