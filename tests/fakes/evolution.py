"""Evolution API v2 (2.3.7; 2.4.0's licence on demand): blocks for `delay`, and ends every slice with its own pause."""

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    EVERYONE,
    LID,
    NOT_CONNECTED,
    NOT_KNOWN,
    PERSON,
    REJECTED,
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
    node_body,
)
from gateway.presence.model import ChatKind, State

SLICE_MS = 20_000
HELD_S = 60.0
REFUSAL_S = 0.027
CLOSED_TEXTS = (
    "Error: Connection Closed",
    "TypeError: Cannot read properties of undefined (reading 'onWhatsApp')",
    "TypeError: Cannot read properties of undefined (reading 'presenceSubscribe')",
    "TypeError: Cannot read properties of undefined (reading 'find')",
    "TypeError: Cannot read properties of undefined (reading 'id')",
)
NOT_AVAILABLE = {
    "meta": "Method not available on WhatsApp Business API",
    "evolution-channel": "Method not available on Evolution Channel",
}
LICENCE = {"error": "service not activated", "code": "LICENSE_REQUIRED", "message": "License required"}
STATE_OF = {"composing": State.TYPING, "recording": State.RECORDING, "paused": State.PAUSED}
PRESENCES = (*STATE_OF, "available", "unavailable")


def envelope(status: int, message: Any, error: str | None = None) -> dict[str, Any]:
    return {"status": status, "error": error or HTTPStatus(status).phrase, "response": {"message": message}}


class FakeEvolution(FakeUpstream):
    """Sessions are `open`, `connecting` (an open, silent socket), `close`, `unloaded` (in the database only), `meta`
    or `evolution-channel`.

    Failure mode: `licence` (2.4.0 without one). `cached` numbers need no lookup. A credential of `*` is the global key.
    """

    KIND = "evolution"
    CHATS = EVERYONE - {ChatKind.NEWSLETTER}
    UP = "open"
    BLOCKS = True
    PAUSES_SHOWN = 2
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("missing apikey", 401, UNAUTHORIZED, credential=""),
        ErrorRow("invalid apikey", 401, UNAUTHORIZED, credential="wrong"),
        ErrorRow("another instance's apikey", 401, UNAUTHORIZED, world={"credentials": {"right-credential": "other"}}),
        ErrorRow("unknown instance", 404, NOT_CONNECTED, session="nobody"),
        ErrorRow("unknown instance, before auth", 404, NOT_CONNECTED, session="nobody", credential="wrong"),
        ErrorRow(
            "schema error",
            400,
            REJECTED,
            recorded=Recorded(400, envelope(400, [['instance requires property "delay"']])),
        ),
        ErrorRow(
            "broken JSON",
            400,
            REJECTED,
            recorded=Recorded(
                400, envelope(400, "Unexpected end of JSON input", HTTPStatus.INTERNAL_SERVER_ERROR.phrase)
            ),
        ),
        ErrorRow("number not on WhatsApp", 400, UNKNOWN_NUMBER, world={"absent": {PERSON.user}}),
        *(
            ErrorRow(
                f"socket closed: {text}",
                400,
                NOT_CONNECTED,
                session_state="close",
                world={"closed_text": text},
                real_time=True,
            )
            for text in CLOSED_TEXTS
        ),
        ErrorRow("instance in the database, not in memory", 500, NOT_CONNECTED, session_state="unloaded"),
        ErrorRow("connecting: 400 after 60 s", 400, NOT_CONNECTED, session_state="connecting", states=(State.PAUSED,)),
        ErrorRow(
            "connecting: held 60 s",
            None,
            UNKNOWN,
            session_state="connecting",
            states=(State.PAUSED,),
            real_time=True,
            timeout_s=0.7,
        ),
        ErrorRow("Meta Cloud instance", 400, UNSUPPORTED, session_state="meta"),
        ErrorRow("Evolution channel instance", 400, UNSUPPORTED, session_state="evolution-channel"),
        ErrorRow("2.4.0 without licence", 503, REJECTED, world={"failing": "licence"}),
        ErrorRow("lid on develop's predecessor", 400, UNKNOWN_NUMBER, chat=LID, world={"lid_passes": False}),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("open", CONNECTED),
        ConnectionRow("connecting", CONNECTING),
        ConnectionRow("close", DISCONNECTED),
        ConnectionRow("unloaded", NOT_KNOWN),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(sleep=sleep)
        self.closed_text = CLOSED_TEXTS[0]
        self.cached: set[str] = set()
        self.lid_passes = True

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/chat/sendPresence/{instance}", self.send_presence),
            web.get("/instance/connectionState/{instance}", self.connection_state),
            web.post("/instance/setPresence/{instance}", self.set_presence),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path.startswith("/chat/sendPresence/")

    async def send_presence(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        session = self._guard(request)
        self._validate(body)
        jid = await self._resolve(session, str(body["number"]))
        await asyncio.shield(self.spawn(self._loop(session, jid, body["presence"], body["delay"])))
        return answer(201, {"presence": body["presence"]})

    async def connection_state(self, request: web.Request) -> web.Response:
        await self._body(request)
        session = self._guard(request)
        instance = {"instanceName": session}
        if self.sessions[session] != "unloaded":
            instance["state"] = self.sessions[session]
        return answer(200, {"instance": instance})

    async def set_presence(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        self._guard(request)
        return answer(201, {"presence": body.get("presence")})

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        """The licence and the JSON parser come before everything else."""
        if self.failing == "licence":
            raise Refused(503, LICENCE)
        try:
            return await node_body(request)
        except BrokenJSONError:
            phrase = HTTPStatus.INTERNAL_SERVER_ERROR.phrase
            raise Refused(400, envelope(400, "Unexpected end of JSON input", phrase)) from None

    def _guard(self, request: web.Request) -> str:
        """Existence first, then the key."""
        session = request.match_info["instance"]
        if session not in self.sessions:
            raise Refused(404, envelope(404, [f'The "{session}" instance does not exist']))
        if self.credentials.get(request.headers.get("apikey", "")) not in {session, "*"}:
            raise Refused(401, envelope(401, "Unauthorized"))
        return session

    def _validate(self, body: Mapping[str, Any]) -> None:
        faults = [
            f'instance requires property "{name}"' for name in ("number", "presence", "delay") if name not in body
        ]
        if "number" in body and not isinstance(body["number"], str):
            faults.append("instance.number is not of a type(s) string")
        if "presence" in body and body["presence"] not in PRESENCES:
            faults.append(f"instance.presence is not one of enum values: {','.join(PRESENCES)}")
        if "delay" in body and (isinstance(body["delay"], bool) or not isinstance(body["delay"], int | float)):
            faults.append("instance.delay is not of a type(s) number")
        if faults:
            raise Refused(400, envelope(400, [faults]))

    async def _resolve(self, session: str, number: str) -> str:
        """Find the chat's JID; what WhatsApp does not know, or a socket that does not answer, ends here."""
        state = self.sessions[session]
        if state == "unloaded":
            raise Refused(500, envelope(500, "Cannot read properties of undefined (reading 'sendPresence')"))
        if state in NOT_AVAILABLE:
            raise Refused(400, envelope(400, [NOT_AVAILABLE[state]]))
        if state == "close":
            await self.sleep(REFUSAL_S)
            raise Refused(400, envelope(400, [self.closed_text]))
        jid = _create_jid(number)
        if state == "connecting" and jid not in self.cached:
            await self.sleep(HELD_S)
            raise Refused(400, envelope(400, [CLOSED_TEXTS[0]]))
        found = self._find(jid)
        if found is None:
            raise Refused(400, envelope(400, ["[object Object]"]))
        return found

    def _find(self, jid: str) -> str | None:
        user, _, server = jid.partition("@")
        if server == "lid":
            return jid if self.lid_passes else None
        if server in {"g.us", "broadcast"}:
            return jid
        if server != "s.whatsapp.net":
            return None
        return next((f"{one}@{server}" for one in _brazilian(user) if one and one not in self.absent), None)

    async def _loop(self, session: str, jid: str, presence: str, delay_ms: float) -> None:
        """Slices of at most 20 s, each ended by a pause; nothing stops it."""
        while delay_ms > SLICE_MS:
            await self._slice(session, jid, presence, SLICE_MS)
            delay_ms -= SLICE_MS
        await self._slice(session, jid, presence, delay_ms)

    async def _slice(self, session: str, jid: str, presence: str, delay_ms: float) -> None:
        self._emit(session, jid, presence)
        await self.sleep(max(delay_ms, 0) / 1000)
        self._emit(session, jid, "paused")

    def _emit(self, session: str, jid: str, presence: str) -> None:
        if presence in STATE_OF and self.sessions.get(session) == "open":
            self.show(session, jid, STATE_OF[presence])


def _create_jid(number: str) -> str:
    if any(server in number for server in ("@g.us", "@s.whatsapp.net", "@lid", "@broadcast")):
        return number
    number = number.partition("@")[0]
    digits = "".join(filter(str.isdigit, number))
    return f"{digits}@g.us" if len(digits) >= 18 else f"{digits}@s.whatsapp.net"


def _brazilian(user: str) -> tuple[str, ...]:
    """The number and its spelling with, or without, the ninth digit."""
    if user.startswith("55") and len(user) == 13 and int(user[2:4]) >= 31 and user[4] == "9" and user[5] >= "7":
        return user, user[:4] + user[5:]
    if user.startswith("55") and len(user) == 12 and int(user[2:4]) >= 31 and user[4] >= "7":
        return user, f"{user[:4]}9{user[4:]}"
    return (user,)
