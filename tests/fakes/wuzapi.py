"""wuzapi: keys in any letter case, 500 for every kind of "not connected", and no check of the number."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    DISCONNECTED,
    EVERYONE,
    NOT_CONNECTED,
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


def error(status: int, text: str) -> dict[str, Any]:
    return {"code": status, "error": text, "success": False}


class FakeWuzapi(FakeUpstream):
    """Sessions are `connected`, `logged-out`, `socket-down` or `no-session`; the token names the user.

    `style` is the letter case of `/session/status`.
    """

    KIND = "wuzapi"
    CHATS = EVERYONE
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing token", 401, UNAUTHORIZED, credential=""),
        ErrorRow("unknown user", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("no session", 500, NOT_CONNECTED, session_state="no-session"),
        ErrorRow("socket down", 500, NOT_CONNECTED, session_state="socket-down"),
        ErrorRow(
            "could not decode Payload", 400, REJECTED, recorded=Recorded(400, error(400, "could not decode Payload"))
        ),
        ErrorRow(
            "missing Phone in Payload", 400, REJECTED, recorded=Recorded(400, error(400, "missing Phone in Payload"))
        ),
        ErrorRow(
            "missing State in Payload", 400, REJECTED, recorded=Recorded(400, error(400, "missing State in Payload"))
        ),
        ErrorRow(
            "could not parse Phone", 400, UNKNOWN_NUMBER, recorded=Recorded(400, error(400, "could not parse Phone"))
        ),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = tuple(
        ConnectionRow(state, expected, {"style": style})
        for style in ("old", "new")
        for state, expected in (
            ("connected", CONNECTED),
            ("logged-out", NOT_LOGGED_IN),
            ("socket-down", DISCONNECTED),
        )
    )

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/chat/presence", self.presence),
            web.post("/user/presence", self.user_presence),
            web.get("/session/status", self.status),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path == "/chat/presence"

    async def presence(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        body = await self._body(request)
        if not body.get("phone"):
            raise Refused(400, error(400, "missing Phone in Payload"))
        if not body.get("state"):
            raise Refused(400, error(400, "missing State in Payload"))
        jid = _parse(body["phone"])
        if self.sessions[session] != "connected":
            raise Refused(500, error(500, "failure sending chat presence to Whatsapp servers"))
        if body["state"] == "composing":
            self.show(session, jid, State.RECORDING if body.get("media") == "audio" else State.TYPING)
        elif body["state"] == "paused":
            self.show(session, jid, State.PAUSED)
        return self._success({"Details": "Chat presence set successfuly"})

    async def user_presence(self, request: web.Request) -> web.Response:
        self._guard(request)
        body = await self._body(request)
        if body.get("type") not in {"available", "unavailable"}:
            raise Refused(400, error(400, "missing type in Payload"))
        return self._success({"Details": "Presence set successfuly"})

    async def status(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        state = self.sessions[session]
        connected, logged_in = state in {"connected", "logged-out"}, state == "connected"
        if self.style == "old":
            return self._success({"Connected": connected, "LoggedIn": logged_in})
        jid = "5511888888888.0:1@s.whatsapp.net"
        return self._success({"connected": connected, "loggedIn": logged_in, "id": "1", "name": session, "jid": jid})

    def _guard(self, request: web.Request) -> str:
        token = request.headers.get("token") or request.query.get("token", "")
        session = self.credentials.get(token)
        if session is None or session not in self.sessions:
            raise Refused(401, error(401, "unauthorized"))
        if self.sessions[session] == "no-session":
            raise Refused(500, error(500, "no session"))
        return session

    async def _body(self, request: web.Request) -> Mapping[str, str]:
        """Go's decoder: keys in any letter case, a value of another type is an error."""
        try:
            body = await go_body(request)
        except BrokenJSONError:
            body = {"phone": None}
        known = {
            key.lower(): value for key, value in body.items() if key.lower() in {"phone", "state", "media", "type"}
        }
        if any(not isinstance(value, str) for value in known.values()):
            raise Refused(400, error(400, "could not decode Payload"))
        return known

    def _success(self, data: Mapping[str, Any]) -> web.Response:
        return answer(200, {"code": 200, "data": data, "success": True})


def _parse(phone: str) -> str:
    phone = phone.removeprefix("+")
    if "@" in phone:
        return phone
    if not phone.isdigit():
        raise Refused(400, error(400, "could not parse Phone"))
    return f"{phone}@s.whatsapp.net"
