"""GOWA v9: says 401 for "not connected", knows no recording, and shows nothing until the account is `available`."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiohttp import web

from fakes.base import (
    BAD_NUMBER,
    CONNECTED,
    DISCONNECTED,
    EVERYONE,
    NOT_CONNECTED,
    NOT_KNOWN,
    NOT_LOGGED_IN,
    PERSON,
    REJECTED,
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
    go_body,
    one_of,
)
from gateway.presence.model import Chat, Outcome, State

LOOKUP_S = 10.0
NOT_CONNECTED_TEXT = "you are not connect to services server, please reconnect"
NOT_LOGGED_IN_TEXT = "you are not logged in"


def error(code: str, text: str) -> dict[str, Any]:
    return {"code": code, "message": text, "results": None}


class FakeGowa(FakeUpstream):
    """Sessions are devices: `connected`, `disconnected` or `logged-out`; `available` holds those that may be seen.

    The credential is `user:password` of HTTP Basic; with no credentials at all, none is asked for. Failure modes:
    `no-manager`, `internal`, `no-cli`, `timeout`, `slow-lookup` (the number's check takes its 10 s).
    """

    KIND = "gowa"
    CHATS = EVERYONE
    CREDENTIAL = "admin:right-credential"
    RECORDING = False
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]] = (
        ErrorRow("no Basic auth", 401, UNAUTHORIZED, credential=""),
        ErrorRow("Basic auth failure", 401, UNAUTHORIZED, credential="admin:wrong"),
        ErrorRow("not connected", 401, NOT_CONNECTED, session_state="disconnected"),
        ErrorRow("not logged in", 401, NOT_CONNECTED, session_state="logged-out"),
        ErrorRow("unknown device", 404, NOT_CONNECTED, session="nobody"),
        ErrorRow(
            "device ambiguous",
            400,
            REJECTED,
            recorded=Recorded(400, error("DEVICE_ID_REQUIRED", "device_id is required")),
        ),
        ErrorRow(
            "manager absent",
            503,
            one_of(Outcome.NOT_CONNECTED, Outcome.UNAVAILABLE, Outcome.REJECTED),
            world={"failing": "no-manager"},
        ),
        ErrorRow("phone starts with 0", 400, BAD_NUMBER, chat=Chat("0551199999999@s.whatsapp.net")),
        ErrorRow("not on WhatsApp", 400, UNKNOWN_NUMBER, world={"absent": {PERSON.user}}),
        ErrorRow("slow", 504, UNKNOWN, world={"failing": "timeout"}),
        ErrorRow(
            "slow, longer than we wait", None, UNKNOWN, world={"failing": "timeout"}, real_time=True, timeout_s=0.7
        ),
        ErrorRow("slow number check", None, UNKNOWN, world={"failing": "slow-lookup"}, real_time=True, timeout_s=0.7),
        ErrorRow("internal error", 500, REJECTED, world={"failing": "internal"}),
        ErrorRow("invalid client", 500, one_of(Outcome.REJECTED, Outcome.NOT_CONNECTED), world={"failing": "no-cli"}),
    )
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = (
        ConnectionRow("connected", CONNECTED),
        ConnectionRow("connected", CONNECTED, {"style": "old"}),
        ConnectionRow("disconnected", DISCONNECTED),
        ConnectionRow("disconnected", DISCONNECTED, {"style": "old"}),
        ConnectionRow("logged-out", NOT_LOGGED_IN),
        ConnectionRow(None, NOT_KNOWN),
    )

    def __init__(self, *, sleep: Sleep = asyncio.sleep, base_path: str = "") -> None:
        super().__init__(sleep=sleep)
        self.base_path = base_path
        self.available: set[str] = set()

    @property
    def url(self) -> str:
        return self._url + self.base_path

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post(f"{self.base_path}/send/chat-presence", self.chat_presence),
            web.post(f"{self.base_path}/send/presence", self.presence),
            web.get(f"{self.base_path}/app/status", self.status),
            web.get(f"{self.base_path}/devices/{{device}}/status", self.device_status),
            web.get(f"{self.base_path}/health", self.health),
        ]

    def is_presence(self, request: web.Request) -> bool:
        return request.path == f"{self.base_path}/send/chat-presence"

    def pulse(self) -> None:
        """The daily presence pulse, or a reconnect: the account goes unavailable."""
        self.available.clear()

    async def chat_presence(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        device = self._device(request)
        phone, action = self._validated(await self._body(request))
        self._logged_in(device)
        await self._on_whatsapp(phone)
        self._fail()
        if device in self.available:
            self.show(device, phone, State.TYPING if action == "start" else State.PAUSED)
        text = f"Send chat presence {action} typing success {phone}"
        return answer(
            200,
            {"code": "SUCCESS", "message": text, "results": {"message_id": f"chat-presence-{action}", "status": text}},
        )

    async def presence(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        device = self._device(request)
        kind = (await self._body(request)).get("type")
        if kind not in {"available", "unavailable"}:
            raise Refused(400, error("VALIDATION_ERROR", "type: must be a valid value."))
        self._logged_in(device)
        if kind == "available":
            self.available.add(device)
        else:
            self.available.discard(device)
        results = {"message_id": "presence", "status": kind}
        return answer(200, {"code": "SUCCESS", "message": f"Send presence {kind} success", "results": results})

    async def status(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        return self._status_of(self._device(request))

    async def device_status(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        device = request.match_info["device"]
        if device not in self.sessions:
            raise Refused(404, error("DEVICE_NOT_FOUND", "device not found"))
        return self._status_of(device)

    async def health(self, _: web.Request) -> web.Response:
        return answer(200 if "connected" in self.sessions.values() else 503, "OK")

    def _status_of(self, device: str) -> web.Response:
        state = self.sessions[device]
        results: dict[str, Any] = {
            "is_connected": state in {"connected", "logged-out"},
            "is_logged_in": state == "connected",
            "device_id": device,
        }
        if self.style == "new":
            results["jid"] = "5511888888888:1@s.whatsapp.net" if state == "connected" else ""
        return answer(200, {"code": "SUCCESS", "message": "Connection status retrieved", "results": results})

    def _authenticate(self, request: web.Request) -> None:
        if not self.credentials:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            pair = base64.b64decode(token, validate=True).decode()
        except ValueError:
            pair = ""
        if scheme.lower() != "basic" or pair not in self.credentials:
            raise Refused(401, "Unauthorized", {"WWW-Authenticate": "basic realm=Restricted"})

    def _device(self, request: web.Request) -> str:
        if self.failing == "no-manager":
            raise Refused(503, error("DEVICE_MANAGER_UNAVAILABLE", "device manager is not available"))
        device = request.headers.get("X-Device-Id") or request.query.get("device_id", "")
        if not device and len(self.sessions) == 1:
            return next(iter(self.sessions))
        if not device and self.sessions:
            raise Refused(400, error("DEVICE_ID_REQUIRED", "device_id is required"))
        if device not in self.sessions:
            raise Refused(404, error("DEVICE_NOT_FOUND", "device not found"))
        return device

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        try:
            return await go_body(request)
        except BrokenJSONError:
            raise Refused(500, error("INTERNAL_SERVER_ERROR", "unexpected end of JSON input")) from None

    def _validated(self, body: Mapping[str, Any]) -> tuple[str, str]:
        phone, action = body.get("phone"), body.get("action")
        if not isinstance(phone, str) or not phone:
            raise Refused(400, error("VALIDATION_ERROR", "phone: cannot be blank."))
        if phone.startswith("0"):
            raise Refused(400, error("VALIDATION_ERROR", "phone number must be in international format"))
        if action not in {"start", "stop"}:
            raise Refused(400, error("VALIDATION_ERROR", "action: must be a valid value."))
        return phone if "@" in phone else f"{phone}@s.whatsapp.net", str(action)

    def _logged_in(self, device: str) -> None:
        if self.sessions[device] == "disconnected":
            raise Refused(401, error("AUTHENTICATION_ERROR", NOT_CONNECTED_TEXT))
        if self.sessions[device] == "logged-out":
            raise Refused(401, error("AUTHENTICATION_ERROR", NOT_LOGGED_IN_TEXT))

    async def _on_whatsapp(self, phone: str) -> None:
        if self.failing == "slow-lookup":
            await self.sleep(LOOKUP_S)
        user, _, server = phone.partition("@")
        if server == "s.whatsapp.net" and user in self.absent:
            raise Refused(400, error("INVALID_JID", f"Phone {phone} is not on whatsapp"))
        if self.failing == "timeout":
            await self.sleep(45.0)
            raise Refused(504, error("GATEWAY_TIMEOUT", "request timed out"))

    def _fail(self) -> None:
        if self.failing == "internal":
            raise Refused(500, error("INTERNAL_SERVER_ERROR", "something went wrong"))
        if self.failing == "no-cli":
            raise Refused(500, error("INVALID_WA_CLI", "your WhatsApp CLI is invalid or empty"))
