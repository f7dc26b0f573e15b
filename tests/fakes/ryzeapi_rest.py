"""RyzeAPI's other routes, as docs.ryzeapi.cloud describes them: messages, media, profile, events and the WebSocket.

Paths, fields, statuses and messages of errors are the documentation's; where it shows no text, one of ours stands in.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from aiohttp import WSCloseCode, web

from fakes.base import BrokenJSONError, Refused, answer, go_body
from gateway.presence.model import Chat

SETTINGS = {
    "autoRejectCalls": False,
    "callRejectMessage": "",
    "ignoreGroupMessages": False,
    "keepOnlineStatus": False,
    "autoReadMessages": False,
    "disableHistorySync": True,
    "ignoreStatus": False,
}
PRIVACY = {"visibility": {"lastSeen": "contacts"}, "privacy": {"readReceipts": "all"}, "permissions": {}}
EVENTS = ["message.exchange", "message.status", "call.update", "group.flow", "instance.state", "label.update"]
NOT_ENABLED = (
    "WebSocket is not enabled for this instance. Configure it first using POST /api/events/websocket/$Instance_Name"
)
_END_BYTES = 4096
_PIECE_BYTES = 256 * 1024


def error(text: str) -> dict[str, Any]:
    return {"success": False, "error": {"message": text}}


class Api(Protocol):
    """What the routes need of the API that they belong to."""

    sessions: dict[str, str]

    def guard(self, request: web.Request, session: str) -> None: ...

    def limits(self) -> dict[str, str]: ...


class Rest:
    """The routes, and what was sent by them.

    Attributes:
        sent: the messages, in order: kind, session, chat.
        listeners: the open WebSockets.
        heard: what clients sent on them.
        closed: how they ended.
        media_bytes: how long the stored media is that `GET /api/chat/base64` answers.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.sent: list[tuple[str, str, str]] = []
        self.settings: dict[str, Any] = dict(SETTINGS)
        self.websocket: dict[str, Any] | None = None
        self.listeners: list[web.WebSocketResponse] = []
        self.heard: list[str | bytes] = []
        self.closed: list[int | None] = []
        self.media_bytes = 1000

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/message/{kind}/{instance}", self.message),
            web.get("/api/chat/base64/{instance}", self.media),
            web.get("/api/profile/getAccount/{instance}", self.account),
            web.post("/api/profile/account/{instance}", self.update_account),
            web.get("/api/profile/getPrivacy/{instance}", self.privacy),
            web.get("/api/instance/getSettings/{instance}", self.read_settings),
            web.post("/api/instance/settings/{instance}", self.update_settings),
            web.get("/api/instance/connect/{instance}", self.connect),
            web.post("/api/instance/reconnect/{instance}", self.reconnect),
            web.delete("/api/instance/logout/{instance}", self.logout),
            web.post("/api/events/websocket/{instance}", self.configure_websocket),
            web.get("/api/events/getWebsocket/{instance}", self.read_websocket),
            web.get("/ws/{instance}", self.listen),
        ]

    def is_streamed(self, request: web.Request) -> bool:
        return request.path.startswith("/api/message/media/")

    async def message(self, request: web.Request) -> web.Response:
        session = self._guarded(request)
        body, media_bytes = await (_long_body(request) if self.is_streamed(request) else _whole_body(request))
        kind = request.match_info["kind"]
        to = "status@broadcast" if kind == "status" else body.get("number", "")
        if not to:
            raise Refused(400, error("Number is required"))
        if self._api.sessions[session] != "connected":
            raise Refused(503, error("Instance is not connected to WhatsApp"))
        chat = Chat.parse(to)
        self.sent.append((kind, session, chat.jid))
        return self._success(
            "Message sent successfully",
            messageId=f"3EB0{len(self.sent):016X}",
            messageType=body.get("mediaType") or body.get("type") or kind,
            direction="outgoing",
            chat={"jid": chat.jid},
            **({"mediaSize": media_bytes} if media_bytes else {}),
        )

    async def media(self, request: web.Request) -> web.StreamResponse:
        """The stored media, in base64."""
        self._guarded(request)
        if "messageId" not in request.query:
            raise Refused(400, error("messageId query parameter is required"))
        head, tail = json.dumps({"success": True, "message_id": request.query["messageId"], "base64": "\0"}).split(
            "\\u0000"
        )
        length = 4 * -(-self.media_bytes // 3)
        headers = {"Content-Length": str(len(head) + length + len(tail)), **self._api.limits()}
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(head.encode())
        async for piece in pieces(length):
            await response.write(piece)
        await response.write_eof(tail.encode())
        return response

    async def account(self, request: web.Request) -> web.Response:
        self._guarded(request)
        number = request.query.get("number", "5511999999999")
        return self._success("Profile retrieved", profile={"profileName": "João", "phoneNumber": number})

    async def update_account(self, request: web.Request) -> web.Response:
        self._guarded(request)
        return self._success("Profile updated", updatedFields=sorted(await _body(request)))

    async def privacy(self, request: web.Request) -> web.Response:
        self._guarded(request)
        return self._success("Privacy retrieved", **PRIVACY)

    async def read_settings(self, request: web.Request) -> web.Response:
        self._guarded(request)
        return self._success("Settings retrieved successfully", settings=self.settings)

    async def update_settings(self, request: web.Request) -> web.Response:
        self._guarded(request)
        self.settings |= await _body(request)
        return self._success("Settings updated successfully", settings=self.settings)

    async def connect(self, request: web.Request) -> web.Response:
        self._guarded(request)
        return self._success("QR code generated", qrCode="2@abc", status="connecting")

    async def reconnect(self, request: web.Request) -> web.Response:
        self._guarded(request)
        return self._success("Reconnecting", status="connecting")

    async def logout(self, request: web.Request) -> web.Response:
        self._api.sessions[self._guarded(request)] = "loggedout"
        return self._success("Logged out")

    async def configure_websocket(self, request: web.Request) -> web.Response:
        self._guarded(request)
        body = await _body(request)
        enabled = bool(body.get("enabled"))
        events = body.get("events", EVENTS) if enabled else []
        self.websocket = {"enabled": enabled, "events": events, "mediaBase64": bool(body.get("mediaBase64"))}
        return self._success("WebSocket configured", websocket=self.websocket)

    async def read_websocket(self, request: web.Request) -> web.Response:
        self._guarded(request)
        if self.websocket is None:
            raise Refused(404, error("WebSocket not configured for this instance"))
        return self._success("WebSocket configuration retrieved", websocket=self.websocket)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        self._guarded(request)
        if not (self.websocket or {}).get("enabled"):
            raise Refused(400, error(NOT_ENABLED))
        socket = web.WebSocketResponse(protocols=["events"], timeout=0.5)
        await socket.prepare(request)
        self.listeners.append(socket)
        try:
            async for message in socket:
                self.heard.append(message.data)
        finally:
            self.listeners.remove(socket)
            self.closed.append(socket.close_code)
        return socket

    async def publish(self, session: str, token: str, event: str, data: Any) -> None:
        """Send an event to whoever listens, in the documented envelope."""
        instance = {"baseUrl": "https://api.example.com", "instance": session, "token": token}
        text = json.dumps({"event": event, "data": data, "instanceData": instance})
        await asyncio.gather(*(socket.send_str(text) for socket in self.listeners))

    async def hang_up(self, code: int = WSCloseCode.GOING_AWAY, message: bytes = b"") -> None:
        """Close every WebSocket."""
        await asyncio.gather(*(socket.close(code=code, message=message) for socket in self.listeners))

    def _guarded(self, request: web.Request) -> str:
        session = request.match_info["instance"]
        self._api.guard(request, session)
        return session

    def _success(self, message: str, **fields: Any) -> web.Response:
        return answer(200, {"success": True, "message": message, **fields}, self._api.limits())


async def pieces(length: int) -> AsyncIterator[bytes]:
    """So many bytes of base64, a piece at a time."""
    piece = base64.b64encode(bytes(range(256)) * 768)[:_PIECE_BYTES]
    for at in range(0, length, len(piece)):
        yield piece[: length - at]


async def _whole_body(request: web.Request) -> tuple[dict[str, Any], int]:
    return await _body(request), 0


async def _long_body(request: web.Request) -> tuple[dict[str, Any], int]:
    """Read a body with media in it without holding it: what is cut out is of the one long string; and its length."""
    head, tail, length = b"", b"", 0
    async for piece in request.content.iter_any():
        length += len(piece)
        head, rest = (head + piece)[:_END_BYTES], (head + piece)[_END_BYTES:] if len(head) < _END_BYTES else piece
        tail = (tail + rest)[-_END_BYTES:]
    try:
        body = json.loads(head + tail)
    except ValueError:
        raise Refused(400, error("Invalid request body")) from None
    return body, length


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        return await go_body(request)
    except BrokenJSONError:
        raise Refused(400, error("Invalid request body")) from None
