"""WPPConnect-server 2.10.4: 404 for "not connected", flags beside the phone, and a pause on the same path."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    DOUBTED_NUMBER,
    NOT_CONNECTED,
    NOT_KNOWN,
    PERSON,
    REJECTED,
    UNAUTHORIZED,
    BrokenJSONError,
    ConnectionRow,
    ErrorRow,
    FakeUpstream,
    Refused,
    Sleep,
    answer,
    node_body,
)
from gateway.presence.model import ChatKind, State

BCRYPT_S = 0.054
SHORTEST_PHONE, LONGEST_PHONE = 7, 14
NO_TOKEN = {"message": "Token is not present. Check your header and try again"}
WRONG_TOKEN = {"error": "Check that the Session and Token are correct"}
DISCONNECTED_BODY = {
    "response": None,
    "status": "Disconnected",
    "message": "A sessão do WhatsApp não está ativa.",
}


class FakeWppconnect(FakeUpstream):
    """Sessions are in its own words (CONNECTED, CLOSED, INITIALIZING, ...); a token opens one session, known or not.

    Failure mode: `page` (500). `style` new adds the `session` key that some answers carry.
    """

    KIND = "wppconnect"
    CHATS = frozenset({ChatKind.PHONE, ChatKind.GROUP})
    UP = "CONNECTED"
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("token not present", 401, UNAUTHORIZED, credential=""),
        ErrorRow("wrong token", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("another session's token", 401, UNAUTHORIZED, session="nobody"),
        ErrorRow("unknown session", 404, NOT_CONNECTED, world={"sessions": {}}),
        ErrorRow("inactive session", 404, NOT_CONNECTED, session_state="CLOSED"),
        ErrorRow("inactive session, old style", 404, NOT_CONNECTED, session_state="CLOSED", world={"style": "old"}),
        ErrorRow("not on WhatsApp", 400, DOUBTED_NUMBER, world={"absent": {PERSON.user}}, acts=True),
        ErrorRow("page error", 500, REJECTED, world={"failing": "page"}),
        ErrorRow("page error on recording", 500, REJECTED, world={"failing": "page"}, states=(State.RECORDING,)),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("CONNECTED", CONNECTED),
        ConnectionRow("CONNECTED", CONNECTED, {"style": "old"}),
        ConnectionRow("CLOSED", DISCONNECTED),
        ConnectionRow("CLOSED", DISCONNECTED, {"style": "old"}),
        ConnectionRow("INITIALIZING", DISCONNECTED | CONNECTING),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self._bcrypt = asyncio.Semaphore(2)

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/{session}/typing", self.typing),
            web.post("/api/{session}/recording", self.recording),
            web.get("/api/{session}/check-connection-session", self.check_connection),
            web.get("/api/{session}/status-session", self.status),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path.endswith(("/typing", "/recording"))

    async def typing(self, request: web.Request) -> web.Response:
        session, body, doubt = await self._opened(request)
        await self._tell(session, body, State.TYPING, "Error on set typing")
        return doubt or self._success(session)

    async def recording(self, request: web.Request) -> web.Response:
        """With a duration the page pauses at its end, and only then comes the answer."""
        session, body, doubt = await self._opened(request)
        await self._tell(session, body, State.RECORDING, "Error on set recording")
        if body.get("value") and isinstance(body.get("duration"), int | float):
            await asyncio.shield(self.spawn(self._pause_later(session, body)))
        return doubt or self._success(session)

    async def check_connection(self, request: web.Request) -> web.Response:
        session = await self._authenticated(request)
        up = self.sessions.get(session) == "CONNECTED"
        return answer(200, {"status": up, "message": "Connected" if up else "Disconnected"} | self._extra(session))

    async def status(self, request: web.Request) -> web.Response:
        session = await self._authenticated(request)
        state = self.sessions.get(session, "CLOSED")
        return answer(200, {"status": state, "qrcode": None, "urlcode": "", "version": "2.10.4"} | self._extra(session))

    async def _opened(self, request: web.Request) -> tuple[str, Mapping[str, Any], web.Response | None]:
        """JSON, then the token, then the session, then every number; one that is doubted is told all the same."""
        try:
            body = await node_body(request)
        except BrokenJSONError:
            page = "<!DOCTYPE html><html><body><pre>SyntaxError</pre></body></html>"
            raise Refused(400, page, {"Content-Type": "text/html; charset=utf-8"}) from None
        session = await self._authenticated(request)
        if self.sessions.get(session) != "CONNECTED":
            raise Refused(404, DISCONNECTED_BODY | self._extra(session))
        looked_up = [] if body.get("isGroup") else _addresses(body, is_lid=bool(body.get("isLid")))
        doubted = [jid.partition("@")[0] for jid in looked_up if not self._is_known(jid)]
        return session, body, self._doubt(session, doubted[0]) if doubted else None

    def _is_known(self, jid: str) -> bool:
        user, _, server = jid.partition("@")
        return user not in self.absent and (server == "lid" or len(user) >= SHORTEST_PHONE)

    def _doubt(self, session: str, user: str) -> web.Response:
        text = f"O número {user} não existe."
        return answer(400, {"response": None, "status": "Connected", "message": text} | self._extra(session))

    async def _authenticated(self, request: web.Request) -> str:
        """Each check of a token costs a bcrypt."""
        session, _, in_path = request.match_info["session"].partition(":")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = in_path or (token if scheme == "Bearer" else "")
        if not token:
            raise Refused(401, NO_TOKEN)
        async with self._bcrypt:
            await self.sleep(BCRYPT_S)
        if self.credentials.get(token) != session:
            raise Refused(401, WRONG_TOKEN)
        return session

    async def _tell(self, session: str, body: Mapping[str, Any], state: State, failure: str) -> None:
        if self.failing == "page":
            raise Refused(500, {"status": "error", "message": failure, "error": {"name": "ProtocolError"}})
        for jid in _addresses(body):
            self.show(session, jid, state if body.get("value") else State.PAUSED)

    async def _pause_later(self, session: str, body: Mapping[str, Any]) -> None:
        await self.sleep(body["duration"] / 1000)
        for jid in _addresses(body):
            self.show(session, jid, State.PAUSED)

    def _extra(self, session: str) -> dict[str, str]:
        return {"session": session} if self.style == "new" else {}

    def _success(self, session: str) -> web.Response:
        return answer(200, {"status": "success"} | self._extra(session))


def _addresses(body: Mapping[str, Any], *, is_lid: bool = False) -> list[str]:
    """contactToArray: the flags and the length say what kind of chat it is; what stands behind the `@` is dropped."""
    phone = body.get("phone", [])
    users = [str(one).partition("@")[0] for one in (phone if isinstance(phone, list) else [phone])]
    if body.get("isGroup"):
        return [f"{user}@g.us" for user in users]
    bare = ["".join(letter for letter in user if letter.isalnum() or letter == "_") for user in users]
    return [f"{user}@{'lid' if is_lid or len(user) > LONGEST_PHONE else 'c.us'}" for user in bare]
