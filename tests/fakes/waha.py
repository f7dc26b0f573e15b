"""WAHA 2026.1: 201 with an empty body, and 5 to 10 s of waiting before it says that a session does not work."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    NOT_CONNECTED,
    NOT_KNOWN,
    PEOPLE_AND_GROUPS,
    REJECTED,
    UNAUTHORIZED,
    UNKNOWN,
    UNSUPPORTED,
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
from gateway.upstreams.base import Connection

WORKING = "WORKING"
RUNNING_WAIT_S = 5.0
STATUS_WAIT_S = 10.0
HUNG_S = 14.0
STATE_OF = {"typing": State.TYPING, "recording": State.RECORDING, "paused": State.PAUSED}
NOT_CONNECTED_YET = frozenset({Connection.CONNECTING, Connection.LOGGEDOUT, Connection.DISCONNECTED})


def bad_request(*faults: str) -> dict[str, Any]:
    return {"message": list(faults), "error": "Bad Request", "statusCode": 400}


class FakeWaha(FakeUpstream):
    """Sessions are in WAHA's own words: STOPPED, STARTING, SCAN_QR_CODE, PASSKEY_REQUIRED, WORKING, FAILED, ...

    Failure modes: `core` (any session but `default` is refused at once), `engine` (500), `lacking` (501),
    `hung` (the browser's tab holds the answer for 14 s). `engine` is WEBJS, where bare digits pass and show nothing,
    or NOWEB / GOWS, which complete them.
    """

    KIND = "waha"
    CHATS = PEOPLE_AND_GROUPS
    UP = WORKING
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing key", 401, UNAUTHORIZED, credential=""),
        ErrorRow("bad key", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("unknown session", 422, NOT_CONNECTED, session="nobody"),
        ErrorRow("not-default session on Core", 422, NOT_CONNECTED, session="nobody", world={"failing": "core"}),
        *(
            ErrorRow(f"session {state}", 422, NOT_CONNECTED, session_state=state)
            for state in (
                "STOPPED",
                "STARTING",
                "SCAN_QR_CODE",
                "PASSKEY_REQUIRED",
                "PASSKEY_CONFIRMATION_REQUIRED",
                "FAILED",
            )
        ),
        ErrorRow(
            "session not working, longer than we wait",
            None,
            UNKNOWN,
            session_state="FAILED",
            real_time=True,
            timeout_s=0.7,
        ),
        ErrorRow(
            "session name is required",
            422,
            one_of(Outcome.NOT_CONNECTED, Outcome.REJECTED),
            recorded=Recorded(422, {"error": "Session name is required"}),
        ),
        ErrorRow(
            "chatId missing",
            400,
            REJECTED,
            recorded=Recorded(400, {"detail": "'typing' presence requires 'chatId' field."}),
        ),
        ErrorRow(
            "validation",
            400,
            REJECTED,
            recorded=Recorded(400, bad_request("chatId must be a string", "presence should not be empty")),
        ),
        ErrorRow("engine failure", 500, REJECTED, world={"failing": "engine"}),
        ErrorRow("engine lacks it", 501, UNSUPPORTED, world={"failing": "lacking"}),
        ErrorRow("hung tab", None, UNKNOWN, world={"failing": "hung"}, real_time=True, timeout_s=0.7),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("WORKING", CONNECTED),
        ConnectionRow("WORKING", CONNECTED, {"style": "old"}),
        ConnectionRow("STARTING", CONNECTING),
        ConnectionRow("SCAN_QR_CODE", NOT_CONNECTED_YET),
        ConnectionRow("PASSKEY_REQUIRED", NOT_CONNECTED_YET | {Connection.UNKNOWN}),
        ConnectionRow("PASSKEY_CONFIRMATION_REQUIRED", NOT_CONNECTED_YET | {Connection.UNKNOWN}),
        ConnectionRow("STOPPED", DISCONNECTED),
        ConnectionRow("FAILED", DISCONNECTED),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self.credentials = {self.CREDENTIAL: "*"}
        self.engine = "WEBJS"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/startTyping", self.start_typing),
            web.post("/api/stopTyping", self.stop_typing),
            web.post("/api/{session}/presence", self.presence),
            web.get("/api/sessions/{session}", self.status),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path.endswith(("/presence", "/startTyping", "/stopTyping"))

    async def presence(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        body = await self._body(request)
        session = request.match_info["session"]
        await self._wait_until_working(session)
        presence, chat_id = body.get("presence"), body.get("chatId")
        self._validate(presence, chat_id)
        await self._engine_answers()
        if isinstance(presence, str) and presence in STATE_OF and isinstance(chat_id, str):
            self._emit(session, chat_id, STATE_OF[presence])
        return answer(201)

    async def start_typing(self, request: web.Request) -> web.Response:
        return await self._legacy(request, State.TYPING)

    async def stop_typing(self, request: web.Request) -> web.Response:
        return await self._legacy(request, State.PAUSED)

    async def status(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        session = request.match_info["session"]
        if session not in self.sessions:
            raise Refused(404, {"message": "Session not found", "error": "Not Found", "statusCode": 404})
        body: dict[str, Any] = {"name": session, "status": self.sessions[session]}
        if self.style == "new":
            body |= {"config": {}, "me": None, "presence": None, "engine": {"engine": self.engine}}
        return answer(200, body)

    async def _legacy(self, request: web.Request, state: State) -> web.Response:
        self._authenticate(request)
        body = await self._body(request)
        session = body.get("session")
        if not session:
            raise Refused(422, {"error": "Session name is required"})
        await self._wait_until_working(str(session))
        if not isinstance(body.get("chatId"), str):
            raise Refused(400, bad_request("chatId must be a string"))
        await self._engine_answers()
        self._emit(str(session), body["chatId"], state)
        return answer(201, {"result": True})

    def _authenticate(self, request: web.Request) -> None:
        if request.headers.get("X-Api-Key", "") not in self.credentials:
            raise Refused(401, {"message": "Unauthorized", "statusCode": 401})

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        try:
            return await node_body(request)
        except BrokenJSONError:
            raise Refused(400, bad_request("Unexpected end of JSON input")) from None

    async def _wait_until_working(self, session: str) -> None:
        """Core's own refusal comes at once, every other after a wait."""
        if self.failing == "core" and session != "default":
            text = f"WAHA Core support only 'default' session. You tried to access '{session}' session."
            raise Refused(422, {"message": text, "statusCode": 422})
        state = self.sessions.get(session)
        if state is None:
            await self.sleep(RUNNING_WAIT_S)
            raise Refused(422, {"error": f'Session "{session}" does not exist', "session": session})
        if state != WORKING:
            await self.sleep(RUNNING_WAIT_S if state == "STOPPED" else STATUS_WAIT_S)
            raise Refused(
                422,
                {
                    "error": "Session status is not as expected. Try again later or restart the session",
                    "session": session,
                    "status": state,
                    "expected": [WORKING],
                },
            )

    def _validate(self, presence: object, chat_id: object) -> None:
        if presence in STATE_OF and not chat_id:
            raise Refused(400, {"detail": f"'{presence}' presence requires 'chatId' field."})
        if presence in {"online", "offline"} and chat_id:
            raise Refused(400, {"detail": f"'{presence}' presence does not require 'chatId' field."})
        if presence not in {*STATE_OF, "online", "offline"}:
            self._lacking()

    async def _engine_answers(self) -> None:
        if self.failing == "hung":
            await self.sleep(HUNG_S)
        if self.failing == "lacking":
            self._lacking()
        if self.failing == "engine":
            raise Refused(
                500,
                {
                    "statusCode": 500,
                    "timestamp": "2026-11-22T00:00:00.000Z",
                    "exception": {"message": "Evaluation failed", "name": "Error"},
                    "request": {"path": "/api/shop/presence", "method": "POST"},
                    "version": {"version": "2026.1.1", "engine": self.engine, "tier": "CORE"},
                },
            )

    def _lacking(self) -> None:
        text = f"The method is not implemented by the '{self.engine}' engine."
        raise Refused(501, {"message": text, "error": "Not Implemented", "statusCode": 501})

    def _emit(self, session: str, chat_id: str, state: State) -> None:
        if "@" not in chat_id and self.engine != "WEBJS":
            chat_id += "@c.us"
        if not chat_id.endswith("@s.whatsapp.net"):
            self.show(session, chat_id, state)
