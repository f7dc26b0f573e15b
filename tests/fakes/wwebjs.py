"""wwebjs-api, and chrishubert/whatsapp-api before it: three kinds of 404 that only their text tells apart."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    NOT_CONNECTED,
    NOT_KNOWN,
    PEOPLE_AND_GROUPS,
    PERSON,
    REJECTED,
    TRY_LATER,
    UNAUTHORIZED,
    UNKNOWN,
    UNKNOWN_NUMBER,
    BrokenJSONError,
    ConnectionRow,
    ErrorRow,
    FakeUpstream,
    Recorded,
    Refused,
    Sleep,
    answer,
    node_body,
    one_of,
)
from gateway.presence.model import Outcome, State

HUNG_S = 20.0
NOT_LOADED = "Cannot read properties of undefined (reading 'getChat')"
STATE_OF = {
    "sendStateTyping": State.TYPING,
    "sendStateRecording": State.RECORDING,
    "clearState": State.PAUSED,
}
FOUND_404 = {
    "session_not_connected": "session_not_connected",
    "tab-closed": "browser tab closed",
    "session-closed": "session closed",
}
BROKEN_JSON_PAGE = "<!DOCTYPE html><html><body><pre>SyntaxError: Unexpected end of JSON input</pre></body></html>"


def error(text: str) -> dict[str, Any]:
    return {"success": False, "error": text}


class FakeWwebjs(FakeUpstream):
    """Sessions are `connected`, `opening`, `session_not_connected`, `tab-closed` or `session-closed`.

    Failure modes: `not-loaded` (500: the store is not there yet), `page` (500), `hung` (the tab holds the call).
    """

    KIND = "wwebjs"
    CHATS = PEOPLE_AND_GROUPS
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing key", 403, UNAUTHORIZED, credential=""),
        ErrorRow("invalid key", 403, UNAUTHORIZED, credential="wrong"),
        ErrorRow("session_not_found", 404, NOT_CONNECTED, session="nobody"),
        ErrorRow("session_not_connected", 404, NOT_CONNECTED, session_state="session_not_connected"),
        ErrorRow("browser tab closed", 404, NOT_CONNECTED, session_state="tab-closed"),
        ErrorRow("session closed", 404, NOT_CONNECTED, session_state="session-closed"),
        ErrorRow("Chat not Found", 404, UNKNOWN_NUMBER, world={"absent": {PERSON.user}}),
        ErrorRow("bad session name", 422, one_of(Outcome.REJECTED, Outcome.NOT_CONNECTED), session="a b!"),
        ErrorRow(
            "store not loaded yet",
            500,
            one_of(Outcome.NOT_CONNECTED, Outcome.UNAVAILABLE),
            world={"failing": "not-loaded"},
        ),
        ErrorRow("page error", 500, REJECTED, world={"failing": "page"}),
        ErrorRow(
            "rate limit of another route",
            429,
            TRY_LATER,
            recorded=Recorded(429, "You can only make 1000 requests every 1 seconds"),
        ),
        ErrorRow(
            "broken JSON is a page",
            400,
            REJECTED,
            recorded=Recorded(400, BROKEN_JSON_PAGE, {"Content-Type": "text/html; charset=utf-8"}),
        ),
        ErrorRow("hung tab", None, UNKNOWN, world={"failing": "hung"}, real_time=True, timeout_s=0.7),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("connected", CONNECTED),
        ConnectionRow("connected", CONNECTED, {"style": "old"}),
        ConnectionRow("opening", CONNECTING | DISCONNECTED),
        ConnectionRow("session_not_connected", DISCONNECTED),
        ConnectionRow("tab-closed", DISCONNECTED),
        ConnectionRow("session-closed", NOT_KNOWN),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self.credentials = {self.CREDENTIAL: "*"}

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            *(web.post(f"/chat/{method}/{{session}}", self.tell) for method in STATE_OF),
            web.get("/session/status/{session}", self.status),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path.startswith("/chat/")

    async def tell(self, request: web.Request) -> web.Response:
        try:
            body = await node_body(request)
        except BrokenJSONError:
            raise Refused(400, BROKEN_JSON_PAGE, {"Content-Type": "text/html; charset=utf-8"}) from None
        session = self._guard(request)
        state = self.sessions.get(session, "session_not_found")
        if state not in {"connected", "opening"}:
            raise Refused(404, error(FOUND_404.get(state, "session_not_found")))
        chat_id = str(body.get("chatId", ""))
        await self._page(chat_id)
        method = request.path.split("/")[2]
        self.show(session, chat_id, STATE_OF[method])
        return answer(200, {"success": True, self._success_key(method): True})

    async def status(self, request: web.Request) -> web.Response:
        session = self._guard(request)
        state = self.sessions.get(session, "session_not_found")
        if state == "connected":
            return answer(200, {"success": True, "state": "CONNECTED", "message": "session_connected"})
        message = FOUND_404.get(state, "session_not_connected" if state == "opening" else state)
        said = "OPENING" if state == "opening" else None
        return answer(200, {"success": False, "state": said, "message": message})

    def _guard(self, request: web.Request) -> str:
        if request.headers.get("x-api-key", "") not in self.credentials:
            raise Refused(403, error("Invalid API key"))
        session = request.match_info["session"]
        if not re.fullmatch(r"[\w-]+", session):
            raise Refused(422, error("Session should be alphanumerical or -"))
        return session

    async def _page(self, chat_id: str) -> None:
        if self.failing == "hung":
            await self.sleep(HUNG_S)
        if self.failing == "not-loaded":
            raise Refused(500, error(NOT_LOADED))
        if self.failing == "page":
            raise Refused(500, error("Protocol error (Runtime.callFunctionOn)"))
        user, _, server = chat_id.partition("@")
        if user in self.absent or server not in {"c.us", "g.us", "lid", "newsletter"}:
            raise Refused(404, error("Chat not Found"))

    def _success_key(self, method: str) -> str:
        return "result"


class FakeWhatsappApi(FakeWwebjs):
    """chrishubert/whatsapp-api: the success key is the method's name."""

    VARIANT = "legacy"

    def _success_key(self, method: str) -> str:
        return method
