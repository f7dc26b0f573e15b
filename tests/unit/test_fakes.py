"""The fakes are held to the upstreams' documents, request by request, so that the adapters may be held to the fakes."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fakes import FAKES
from fakes.base import FakeUpstream, scaled
from fakes.evolution import FakeEvolution
from fakes.evolution_go import FakeEvolutionGo
from fakes.gowa import FakeGowa
from fakes.quepasa import FakeQuepasa
from fakes.ryzeapi import FakeRyzeapi
from fakes.uazapi import FakeUazapi
from fakes.waha import FakeWaha
from fakes.wppconnect import FakeWppconnect
from fakes.wuzapi import FakeWuzapi
from fakes.wwebjs import FakeWhatsappApi, FakeWwebjs

from gateway.presence.model import State

Http = TestClient[web.Request, web.Application]
Open = Callable[[FakeUpstream], Awaitable[Http]]

TYPING, RECORDING, PAUSED = State.TYPING, State.RECORDING, State.PAUSED
DIGITS = "5511999999999"
JID = f"{DIGITS}@s.whatsapp.net"
C_US = f"{DIGITS}@c.us"
KEY = "right-credential"
BASIC = f"Basic {base64.b64encode(f'admin:{KEY}'.encode()).decode()}"

APIKEY = {"apikey": KEY}
X_API_KEY = {"X-Api-Key": KEY}
TOKEN = {"token": KEY}
DEVICE = {"Authorization": BASIC, "X-Device-Id": "shop"}
BEARER = {"Authorization": f"Bearer {KEY}"}
QUEPASA = {"X-QUEPASA-TOKEN": KEY}

EVOLUTION = "/chat/sendPresence/shop"
GO = "/message/presence"
WAHA = "/api/shop/presence"
WUZAPI = "/chat/presence"
GOWA = "/send/chat-presence"
WPP = "/api/shop/typing"
WWEBJS = "/chat/sendStateTyping/shop"
RYZE = "/api/chat/presence/shop"


@dataclass(frozen=True)
class Case:
    """A raw request as the document gives it, and everything that must come of it."""

    name: str
    fake: type[FakeUpstream]
    path: str
    headers: Mapping[str, str]
    send: Any
    status: int
    says: Any
    shows: tuple[State, ...] = ()
    world: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    method: str = "POST"
    chat: str = JID

    def __str__(self) -> str:
        return f"{self.fake.name()}: {self.name}"


@pytest.fixture
async def open_fake() -> AsyncIterator[Open]:
    opened: list[tuple[FakeUpstream, Http]] = []

    async def open_(fake: FakeUpstream) -> Http:
        client = TestClient(TestServer(fake.app()))
        await client.start_server()
        opened.append((fake, client))
        return client

    yield open_
    for fake, client in opened:
        await fake.stop()
        await client.close()


def composed(presence: str, delay: float = 0, number: str = DIGITS) -> dict[str, Any]:
    return {"number": number, "presence": presence, "delay": delay}


def message(status: int, error: str, text: Any) -> dict[str, Any]:
    return {"status": status, "error": error, "response": {"message": text}}


def bad_request(text: Any) -> dict[str, Any]:
    return message(400, "Bad Request", text)


def go(state: str = "composing", *, audio: bool = False, number: str = JID) -> dict[str, Any]:
    return {"number": number, "state": state, "isAudio": audio}


class Asks:
    """Cases of one fake, which share a route and its headers."""

    def __init__(self, fake: type[FakeUpstream], path: str, headers: Mapping[str, str]) -> None:
        self.fake, self.path, self.headers = fake, path, headers

    def __call__(self, name: str, send: Any, status: int, says: Any, *shows: State, **more: Any) -> Case:
        return Case(
            name,
            self.fake,
            **{"path": self.path, "headers": self.headers, **more},
            send=send,
            status=status,
            says=says,
            shows=shows,
        )


evolution = Asks(FakeEvolution, EVOLUTION, APIKEY)
evolution_go = Asks(FakeEvolutionGo, GO, APIKEY)
waha = Asks(FakeWaha, WAHA, X_API_KEY)
wuzapi = Asks(FakeWuzapi, WUZAPI, TOKEN)
gowa = Asks(FakeGowa, GOWA, DEVICE)
wppconnect = Asks(FakeWppconnect, WPP, BEARER)
wwebjs = Asks(FakeWwebjs, WWEBJS, X_API_KEY)
whatsapp_api = Asks(FakeWhatsappApi, WWEBJS, X_API_KEY)
uazapi = Asks(FakeUazapi, GO, TOKEN)
quepasa = Asks(FakeQuepasa, WUZAPI, QUEPASA)
ryzeapi = Asks(FakeRyzeapi, RYZE, TOKEN)

GO_SAYS = {"message": "success", "data": {"timestamp": "0001-01-01 00:00:00 +0000 UTC"}}
LICENCE = {"error": "service not activated", "code": "LICENSE_REQUIRED"}
WUZAPI_SAYS = {"code": 200, "data": {"Details": "Chat presence set successfuly"}, "success": True}
WPP_SAYS = {"status": "success"}
CLOSED = "A sessão do WhatsApp não está ativa."
WAHA_NOT_WORKING = "Session status is not as expected. Try again later or restart the session"
MUST_EXIST = 'The "nobody" instance does not exist'

CASES = [
    evolution("typing", composed("composing"), 201, {"presence": "composing"}, TYPING, PAUSED),
    evolution("recording", composed("recording"), 201, {"presence": "recording"}, RECORDING, PAUSED),
    evolution("paused is sent twice", composed("paused"), 201, {"presence": "paused"}, PAUSED, PAUSED),
    evolution(
        "negative and fractional delays pass",
        composed("composing", -0.5),
        201,
        {"presence": "composing"},
        TYPING,
        PAUSED,
    ),
    evolution(
        "25 s are two slices",
        composed("composing", 25000),
        201,
        {"presence": "composing"},
        TYPING,
        PAUSED,
        TYPING,
        PAUSED,
    ),
    evolution(
        "available is the account's, but pauses the chat", composed("available"), 201, {"presence": "available"}, PAUSED
    ),
    evolution(
        "fields nested under options",
        {"number": DIGITS, "options": {"presence": "composing", "delay": 1}},
        400,
        bad_request([['instance requires property "presence"', 'instance requires property "delay"']]),
    ),
    evolution(
        "delay missing",
        {"number": DIGITS, "presence": "composing"},
        400,
        bad_request([['instance requires property "delay"']]),
    ),
    evolution("missing apikey", composed("composing"), 401, message(401, "Unauthorized", "Unauthorized"), headers={}),
    evolution(
        "existence before auth",
        composed("composing"),
        404,
        message(404, "Not Found", [MUST_EXIST]),
        path="/chat/sendPresence/nobody",
        headers={},
    ),
    evolution(
        "JSON before existence",
        b"{",
        400,
        message(400, "Internal Server Error", "Unexpected end of JSON input"),
        path="/chat/sendPresence/nobody",
        headers={},
    ),
    evolution(
        "licence before all",
        b"{",
        503,
        LICENCE | {"message": "License required"},
        path="/chat/sendPresence/nobody",
        headers={},
        world={"failing": "licence"},
    ),
    evolution(
        "licence on the state too",
        None,
        503,
        LICENCE | {"message": "License required"},
        path="/instance/connectionState/shop",
        headers={},
        world={"failing": "licence"},
        method="GET",
    ),
    evolution(
        "not on WhatsApp", composed("composing"), 400, bad_request(["[object Object]"]), world={"absent": {DIGITS}}
    ),
    evolution(
        "an empty number passes validation only",
        composed("composing", number=""),
        400,
        bad_request(["[object Object]"]),
    ),
    evolution(
        "of a newsletter the digits are kept, as a group's",
        composed("composing", number="120363144038483540@newsletter"),
        201,
        {"presence": "composing"},
        TYPING,
        PAUSED,
        chat="120363144038483540@g.us",
    ),
    evolution("closed", composed("composing", 9999), 400, bad_request(["Error: Connection Closed"]), state="close"),
    evolution(
        "unloaded",
        composed("composing"),
        500,
        message(500, "Internal Server Error", "Cannot read properties of undefined (reading 'sendPresence')"),
        state="unloaded",
    ),
    evolution(
        "Meta", composed("composing"), 400, bad_request(["Method not available on WhatsApp Business API"]), state="meta"
    ),
    evolution(
        "201 while connecting",
        composed("composing"),
        201,
        {"presence": "composing"},
        world={"cached": {JID}},
        state="connecting",
    ),
    evolution(
        "state",
        None,
        200,
        {"instance": {"instanceName": "shop", "state": "open"}},
        path="/instance/connectionState/shop",
        method="GET",
    ),
    evolution(
        "state of an unloaded one",
        None,
        200,
        {"instance": {"instanceName": "shop"}},
        path="/instance/connectionState/shop",
        state="unloaded",
        method="GET",
    ),
    evolution(
        "without its ninth digit",
        composed("paused", number="5531988887777"),
        201,
        {"presence": "paused"},
        PAUSED,
        PAUSED,
        world={"absent": {"5531988887777"}},
        chat="553188887777@s.whatsapp.net",
    ),
    evolution(
        "18 digits are a group",
        composed("paused", number="120363025246125486"),
        201,
        {"presence": "paused"},
        PAUSED,
        PAUSED,
        chat="120363025246125486@g.us",
    ),
    evolution_go("typing", go(), 200, GO_SAYS, TYPING),
    evolution_go("recording", go(audio=True), 200, GO_SAYS, RECORDING),
    evolution_go("paused", go("paused"), 200, GO_SAYS, PAUSED),
    evolution_go("a plain number shows nothing", go(number=DIGITS), 200, GO_SAYS),
    evolution_go("recording as a state shows nothing", go("recording"), 200, GO_SAYS),
    evolution_go("wrong token", go(), 401, {"error": "not authorized"}, headers={"apikey": "x"}),
    evolution_go("no number", {"state": "paused"}, 400, {"error": "phone number is required"}),
    evolution_go("empty number", go(number=""), 400, {"error": "number is required and cannot be empty"}),
    evolution_go("bad number", go(number="abc"), 400, {"error": "Invalid number format: abc"}),
    evolution_go("no state", {"number": JID}, 400, {"error": "state is required"}),
    evolution_go("broken JSON", b"{", 400, {"error": "Invalid JSON format"}),
    evolution_go("down", go(), 500, {"error": "client disconnected"}, state="disconnected"),
    evolution_go("never started", go(), 500, {"error": "no active session found"}, state="no-session"),
    evolution_go("licence", go(), 503, LICENCE, headers={}, world={"failing": "licence"}),
    evolution_go(
        "status",
        None,
        200,
        {"message": "success", "data": {"Connected": True, "LoggedIn": True, "Name": "shop"}},
        path="/instance/status",
        method="GET",
    ),
    evolution_go(
        "status when down",
        None,
        400,
        {"error": "client disconnected"},
        path="/instance/status",
        state="disconnected",
        method="GET",
    ),
    waha("typing", {"chatId": C_US, "presence": "typing"}, 201, b"", TYPING),
    waha("recording", {"chatId": C_US, "presence": "recording"}, 201, b"", RECORDING),
    waha("paused", {"chatId": C_US, "presence": "paused"}, 201, b"", PAUSED),
    waha("bare digits show nothing on WEBJS", {"chatId": DIGITS, "presence": "typing"}, 201, b""),
    waha(
        "bare digits are completed on NOWEB",
        {"chatId": DIGITS, "presence": "typing"},
        201,
        b"",
        TYPING,
        world={"engine": "NOWEB"},
    ),
    waha("startTyping", {"session": "shop", "chatId": C_US}, 201, {"result": True}, TYPING, path="/api/startTyping"),
    waha("stopTyping", {"session": "shop", "chatId": C_US}, 201, {"result": True}, PAUSED, path="/api/stopTyping"),
    waha(
        "no key",
        {"chatId": C_US, "presence": "typing"},
        401,
        {"message": "Unauthorized", "statusCode": 401},
        headers={},
    ),
    waha(
        "unknown session",
        {},
        422,
        {"error": 'Session "nobody" does not exist', "session": "nobody"},
        path="/api/nobody/presence",
    ),
    waha(
        "the wait comes before validation",
        {},
        422,
        {"error": WAHA_NOT_WORKING, "session": "shop", "status": "SCAN_QR_CODE", "expected": ["WORKING"]},
        state="SCAN_QR_CODE",
    ),
    waha("no session name", {"chatId": C_US}, 422, {"error": "Session name is required"}, path="/api/startTyping"),
    waha("no chatId", {"presence": "typing"}, 400, {"detail": "'typing' presence requires 'chatId' field."}),
    waha(
        "a wrong presence",
        {"chatId": C_US, "presence": "composing"},
        501,
        {
            "message": "The method is not implemented by the 'WEBJS' engine.",
            "error": "Not Implemented",
            "statusCode": 501,
        },
    ),
    wuzapi("typing", {"Phone": DIGITS, "State": "composing", "Media": ""}, 200, WUZAPI_SAYS, TYPING),
    wuzapi("recording", {"Phone": DIGITS, "State": "composing", "Media": "audio"}, 200, WUZAPI_SAYS, RECORDING),
    wuzapi("paused", {"Phone": DIGITS, "State": "paused"}, 200, WUZAPI_SAYS, PAUSED),
    wuzapi("keys in any case, a leading plus", {"pHONE": f"+{DIGITS}", "state": "composing"}, 200, WUZAPI_SAYS, TYPING),
    wuzapi(
        "token in the query",
        {"Phone": DIGITS, "State": "paused"},
        200,
        WUZAPI_SAYS,
        PAUSED,
        path=f"{WUZAPI}?token={KEY}",
        headers={},
    ),
    wuzapi("unknown user", {}, 401, {"code": 401, "error": "unauthorized", "success": False}, headers={"token": "x"}),
    wuzapi("no session", {}, 500, {"code": 500, "error": "no session", "success": False}, state="no-session"),
    wuzapi("broken JSON", b"{", 400, {"code": 400, "error": "could not decode Payload", "success": False}),
    wuzapi("no Phone", {"State": "paused"}, 400, {"code": 400, "error": "missing Phone in Payload", "success": False}),
    wuzapi("no State", {"Phone": DIGITS}, 400, {"code": 400, "error": "missing State in Payload", "success": False}),
    wuzapi(
        "bad Phone",
        {"Phone": "abc", "State": "paused"},
        400,
        {"code": 400, "error": "could not parse Phone", "success": False},
    ),
    wuzapi(
        "socket down",
        {"Phone": DIGITS, "State": "paused"},
        500,
        {"code": 500, "error": "failure sending chat presence to Whatsapp servers", "success": False},
        state="socket-down",
    ),
    wuzapi(
        "status of an old build",
        None,
        200,
        {"code": 200, "data": {"Connected": True, "LoggedIn": True}, "success": True},
        path="/session/status",
        world={"style": "old"},
        method="GET",
    ),
    gowa("start", {"phone": JID, "action": "start"}, 200, {"code": "SUCCESS"}, TYPING, world={"available": {"shop"}}),
    gowa("stop", {"phone": JID, "action": "stop"}, 200, {"code": "SUCCESS"}, PAUSED, world={"available": {"shop"}}),
    gowa("nothing shows before available", {"phone": JID, "action": "start"}, 200, {"code": "SUCCESS"}),
    gowa(
        "the only device is the default",
        {"phone": JID, "action": "stop"},
        200,
        {"code": "SUCCESS"},
        PAUSED,
        headers={"Authorization": BASIC},
        world={"available": {"shop"}},
    ),
    gowa("Basic auth", {}, 401, b"Unauthorized", headers={}),
    gowa("Basic auth before the device", {}, 401, b"Unauthorized", headers={"X-Device-Id": "nobody"}),
    gowa(
        "not connected",
        {"phone": JID, "action": "start"},
        401,
        {"code": "AUTHENTICATION_ERROR", "message": "you are not connect to services server, please reconnect"},
        state="disconnected",
    ),
    gowa(
        "not logged in",
        {"phone": JID, "action": "start"},
        401,
        {"code": "AUTHENTICATION_ERROR", "message": "you are not logged in"},
        state="logged-out",
    ),
    gowa("unknown device", {}, 404, {"code": "DEVICE_NOT_FOUND"}, headers=DEVICE | {"X-Device-Id": "x"}),
    gowa(
        "ambiguous device",
        {},
        400,
        {"code": "DEVICE_ID_REQUIRED"},
        headers={"Authorization": BASIC},
        world={"sessions": {"a": "connected", "b": "connected"}},
    ),
    gowa("no manager", {}, 503, {"code": "DEVICE_MANAGER_UNAVAILABLE"}, world={"failing": "no-manager"}),
    gowa("a leading 0", {"phone": "0511", "action": "start"}, 400, {"code": "VALIDATION_ERROR"}),
    gowa(
        "not on WhatsApp",
        {"phone": JID, "action": "start"},
        400,
        {"code": "INVALID_JID", "message": f"Phone {JID} is not on whatsapp"},
        world={"absent": {DIGITS}},
    ),
    gowa("slow", {"phone": JID, "action": "start"}, 504, {"code": "GATEWAY_TIMEOUT"}, world={"failing": "timeout"}),
    gowa(
        "status",
        None,
        200,
        {"results": {"is_connected": True, "is_logged_in": True, "device_id": "shop"}},
        path="/app/status",
        world={"style": "old"},
        method="GET",
    ),
    wppconnect("typing", {"phone": DIGITS, "isGroup": False, "value": True}, 200, WPP_SAYS, TYPING),
    wppconnect(
        "recording",
        {"phone": [DIGITS], "isGroup": False, "value": True},
        200,
        WPP_SAYS,
        RECORDING,
        path="/api/shop/recording",
    ),
    wppconnect(
        "a recording with a duration blocks and pauses",
        {"phone": DIGITS, "value": True, "duration": 900},
        200,
        WPP_SAYS,
        RECORDING,
        PAUSED,
        path="/api/shop/recording",
    ),
    wppconnect("stop", {"phone": DIGITS, "isGroup": False, "value": False}, 200, WPP_SAYS, PAUSED),
    wppconnect(
        "a lid needs its flag",
        {"phone": "184756393291234", "isLid": True, "value": True},
        200,
        WPP_SAYS,
        TYPING,
        chat="184756393291234@lid",
    ),
    wppconnect(
        "a group without its flag is a LID",
        {"phone": "120363025246125486@g.us", "value": True},
        200,
        WPP_SAYS,
        TYPING,
        chat="120363025246125486@lid",
    ),
    wppconnect(
        "a LID is looked up as one, and told as a phone number",
        {"phone": "12345678901234@lid", "isLid": True, "value": True},
        200,
        WPP_SAYS,
        TYPING,
        chat="12345678901234@s.whatsapp.net",
    ),
    wppconnect("no token", {}, 401, {"message": "Token is not present. Check your header and try again"}, headers={}),
    wppconnect(
        "wrong token",
        {},
        401,
        {"error": "Check that the Session and Token are correct"},
        headers={"Authorization": "Bearer x"},
    ),
    wppconnect(
        "inactive",
        {"phone": DIGITS, "value": True},
        404,
        {"response": None, "status": "Disconnected", "message": CLOSED},
        state="CLOSED",
    ),
    wppconnect(
        "not on WhatsApp",
        {"phone": DIGITS, "value": True},
        400,
        {"response": None, "status": "Connected", "message": f"O número {DIGITS} não existe."},
        TYPING,
        world={"absent": {DIGITS}},
    ),
    wppconnect(
        "page error",
        {"phone": DIGITS, "value": True},
        500,
        {"status": "error", "message": "Error on set typing"},
        world={"failing": "page"},
    ),
    wppconnect(
        "check",
        None,
        200,
        {"status": False, "message": "Disconnected"},
        path="/api/shop/check-connection-session",
        state="CLOSED",
        method="GET",
    ),
    wwebjs("typing", {"chatId": C_US}, 200, {"success": True, "result": True}, TYPING),
    wwebjs(
        "recording",
        {"chatId": C_US},
        200,
        {"success": True, "result": True},
        RECORDING,
        path="/chat/sendStateRecording/shop",
    ),
    wwebjs("clear", {"chatId": C_US}, 200, {"success": True, "result": True}, PAUSED, path="/chat/clearState/shop"),
    whatsapp_api(
        "clear", {"chatId": C_US}, 200, {"success": True, "clearState": True}, PAUSED, path="/chat/clearState/shop"
    ),
    whatsapp_api("typing", {"chatId": C_US}, 200, {"success": True, "sendStateTyping": True}, TYPING),
    wwebjs("no key", {}, 403, {"success": False, "error": "Invalid API key"}, headers={}),
    wwebjs("unknown", {}, 404, {"success": False, "error": "session_not_found"}, path="/chat/clearState/nobody"),
    wwebjs(
        "not connected", {}, 404, {"success": False, "error": "session_not_connected"}, state="session_not_connected"
    ),
    wwebjs("tab closed", {}, 404, {"success": False, "error": "browser tab closed"}, state="tab-closed"),
    wwebjs("session closed", {}, 404, {"success": False, "error": "session closed"}, state="session-closed"),
    wwebjs("no such chat", {"chatId": JID}, 404, {"success": False, "error": "Chat not Found"}),
    wwebjs("bad name", {}, 422, {"success": False}, path="/chat/clearState/a%20b"),
    wwebjs(
        "not loaded",
        {"chatId": C_US},
        500,
        {"success": False, "error": "Cannot read properties of undefined (reading 'getChat')"},
        world={"failing": "not-loaded"},
    ),
    wwebjs(
        "status of an unknown one is 200",
        None,
        200,
        {"success": False, "message": "session_not_found"},
        path="/session/status/nobody",
        method="GET",
    ),
    uazapi(
        "typing",
        {"number": DIGITS, "presence": "composing", "delay": 300000000},
        200,
        {"response": "Chat presence sent successfully"},
        TYPING,
    ),
    uazapi(
        "recording",
        {"number": DIGITS, "presence": "recording"},
        200,
        {"response": "Chat presence sent successfully"},
        RECORDING,
    ),
    uazapi(
        "paused", {"number": DIGITS, "presence": "paused"}, 200, {"response": "Chat presence sent successfully"}, PAUSED
    ),
    uazapi("wrong token", {}, 401, {"error": "Token inválido ou expirado"}, headers={}),
    uazapi(
        "bad presence",
        {"number": DIGITS, "presence": "typing"},
        400,
        {"error": "Número inválido ou tipo de presença inválido"},
    ),
    uazapi(
        "send failed",
        {"number": DIGITS, "presence": "paused"},
        500,
        {"error": "Erro ao enviar presença"},
        world={"failing": "send"},
    ),
    quepasa(
        "typing",
        {"chatid": DIGITS, "type": "text", "duration": 60000},
        200,
        {"success": True, "status": "presence indicator text, previous: false"},
        TYPING,
    ),
    quepasa(
        "recording by number",
        {"chatid": JID, "type": 1, "duration": 60000},
        200,
        {"success": True},
        RECORDING,
        path="/v4/chats/presence",
    ),
    quepasa(
        "paused, token in the path",
        {"chatid": JID, "type": "paused"},
        200,
        {"success": True},
        PAUSED,
        path=f"/server/{KEY}/chat/presence",
        headers={},
    ),
    quepasa("unknown token", {}, 400, {"success": False, "status": "session not found"}, headers={}),
    quepasa(
        "readiness before the body",
        b"{",
        503,
        {"success": False, "status": "server (wid) not ready yet ! current status: starting"},
        state="starting",
    ),
    quepasa("no chatid", {"type": "text"}, 400, {"success": False, "status": "chatid is required"}),
    quepasa("bad chatid", {"chatid": "abc", "type": "text"}, 400, {"success": False, "status": "invalid chatid: abc"}),
    ryzeapi(
        "typing",
        {"number": DIGITS, "state": "Typing"},
        200,
        {
            "success": True,
            "message": "Presence 'typing' sent successfully",
            "chat_jid": JID,
            "state": "typing",
            "duration": 0,
        },
        TYPING,
    ),
    ryzeapi(
        "a duration of 300 is 60",
        {"number": DIGITS, "state": "recording", "duration": 300},
        200,
        {"message": "Presence 'recording' sent successfully (will auto-pause after 60 seconds)", "duration": 60},
        RECORDING,
        headers=BEARER,
    ),
    ryzeapi(
        "pause",
        {"number": DIGITS, "state": "paused", "duration": 5},
        200,
        {"message": "Presence 'paused' sent successfully", "state": "paused", "duration": 0},
        PAUSED,
        path=f"{RYZE}?token={KEY}",
        headers={},
    ),
    ryzeapi(
        "no token",
        b"{",
        401,
        {"success": False, "error": {"message": "Missing token in header, Authorization header, or query parameter"}},
        headers={},
    ),
    ryzeapi("bad token", b"{", 401, {"success": False, "error": {"message": "Invalid token"}}, headers={"token": "x"}),
    ryzeapi("bad body", b"{", 400, {"success": False, "error": {"message": "Invalid request body"}}),
    ryzeapi(
        "not connected",
        {"number": DIGITS, "state": "pause"},
        503,
        {"success": False, "error": {"message": "Instance is not connected to WhatsApp"}},
        state="loggedout",
    ),
    ryzeapi(
        "list",
        None,
        200,
        {"success": True, "message": "1 Instance found", "meta": {"total": 1}},
        path="/api/instance/list?instanceName=shop",
        method="GET",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_documented_request_gets_its_documented_answer(open_fake: Open, case: Case) -> None:
    long_timers = case.fake in {FakeUazapi, FakeQuepasa, FakeRyzeapi}
    fake = case.fake(sleep=asyncio.sleep if long_timers else scaled(0.0001))
    fake._set(case.world)
    if case.state is not None:
        fake.sessions["shop"] = case.state
    client = await open_fake(fake)
    raw = case.send if isinstance(case.send, bytes) else None
    headers = {"Content-Type": "application/json", **case.headers} if raw is not None else case.headers
    json = None if raw is not None else case.send
    async with client.request(case.method, case.path, headers=headers, json=json, data=raw) as reply:
        assert reply.status == case.status
        if isinstance(case.says, bytes):
            assert await reply.read() == case.says
        else:
            assert _only(case.says, await reply.json()) == case.says
    assert fake.seen() == [("shop", case.chat, state) for state in case.shows]
    assert fake.requests[-1].status == case.status


def _only(said: Any, body: Any) -> Any:
    """The part of `body` that `said` speaks of."""
    if isinstance(said, dict) and isinstance(body, dict):
        return {key: _only(value, body.get(key)) for key, value in said.items()}
    return body


async def test_evolution_blocks_for_its_delay_and_a_client_that_hangs_up_does_not_stop_it(open_fake: Open) -> None:
    fake = FakeEvolution()
    client = await open_fake(fake)
    with pytest.raises(TimeoutError):
        await client.post(
            EVOLUTION, headers=APIKEY, json=composed("composing", 400), timeout=aiohttp.ClientTimeout(0.1)
        )
    assert [told.state for told in fake.shown] == [TYPING]
    await asyncio.sleep(0.5)
    assert [told.state for told in fake.shown] == [TYPING, PAUSED]


async def test_an_old_evolution_loop_sends_composing_again_after_a_stop(open_fake: Open) -> None:
    fake = FakeEvolution(sleep=scaled(0.02))
    client = await open_fake(fake)
    old = asyncio.create_task(client.post(EVOLUTION, headers=APIKEY, json=composed("composing", 25_000)).__aenter__())
    await asyncio.sleep(0.06)
    async with client.post(EVOLUTION, headers=APIKEY, json=composed("paused")) as stop:
        assert stop.status == 201
    assert (await old).status == 201
    assert [told.state for told in fake.shown] == [TYPING, PAUSED, PAUSED, PAUSED, TYPING, PAUSED]


async def test_a_connecting_evolution_holds_even_a_pause_for_a_minute(open_fake: Open) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    fake = FakeEvolution(sleep=sleep)
    fake.sessions["shop"] = "connecting"
    client = await open_fake(fake)
    async with client.post(EVOLUTION, headers=APIKEY, json=composed("paused")) as reply:
        assert (reply.status, slept) == (400, [60.0])


@pytest.mark.parametrize(("state", "waits"), [("STOPPED", [5.0]), ("STARTING", [10.0]), ("FAILED", [10.0])])
async def test_waha_waits_before_it_says_that_a_session_does_not_work(
    open_fake: Open, state: str, waits: list[float]
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    fake = FakeWaha(sleep=sleep)
    fake.sessions["shop"] = state
    client = await open_fake(fake)
    async with client.post(WAHA, headers=X_API_KEY, json={}) as reply:
        assert (reply.status, slept) == (422, waits)


async def test_waha_core_refuses_any_session_but_its_own_at_once(open_fake: Open) -> None:
    fake = FakeWaha()
    fake.failing = "core"
    client = await open_fake(fake)
    async with client.post(WAHA, headers=X_API_KEY, json={}) as reply:
        assert reply.status == 422
        assert set(await reply.json()) == {"message", "statusCode"}


async def test_gowa_says_how_to_authenticate_and_shows_once_it_is_available(open_fake: Open) -> None:
    fake = FakeGowa()
    client = await open_fake(fake)
    async with client.post(GOWA, json={}) as refused:
        assert "WWW-Authenticate" in refused.headers
        assert refused.content_type == "text/plain"
    for _ in range(2):
        async with client.post("/send/presence", headers=DEVICE, json={"type": "available"}) as available:
            assert available.status == 200
        async with client.post(GOWA, headers=DEVICE, json={"phone": JID, "action": "start"}) as start:
            assert start.status == 200
        fake.pulse()
        async with client.post(GOWA, headers=DEVICE, json={"phone": JID, "action": "stop"}) as stop:
            assert stop.status == 200
    assert [told.state for told in fake.shown] == [TYPING, TYPING]


async def test_uazapi_holds_by_itself_until_its_delay_and_a_pause_ends_that(open_fake: Open) -> None:
    fake = FakeUazapi(sleep=scaled(0.005))
    client = await open_fake(fake)
    send = {"number": DIGITS, "presence": "composing", "delay": 25_000}
    async with client.post(GO, headers=TOKEN, json=send):
        await asyncio.sleep(0.3)
    assert [told.state for told in fake.shown] == [TYPING, TYPING, TYPING, PAUSED]
    fake.shown.clear()
    async with (
        client.post(GO, headers=TOKEN, json=send),
        client.post(GO, headers=TOKEN, json=send | {"presence": "paused"}),
    ):
        await asyncio.sleep(0.3)
    assert [told.state for told in fake.shown] == [TYPING, PAUSED]


async def test_quepasa_pauses_at_once_without_a_duration(open_fake: Open) -> None:
    fake = FakeQuepasa()
    client = await open_fake(fake)
    async with client.post(WUZAPI, headers=QUEPASA, json={"chatid": JID, "type": "text"}):
        await asyncio.sleep(0.05)
    assert [told.state for told in fake.shown] == [TYPING, PAUSED]


async def test_one_quepasa_tenant_cancels_anothers_pause_on_the_same_contact(open_fake: Open) -> None:
    fake = FakeQuepasa(sleep=scaled(0.01))
    fake.sessions["other"] = "ready"
    fake.credentials["other-token"] = "other"
    client = await open_fake(fake)
    send = {"chatid": JID, "type": "text", "duration": 5000}
    async with client.post(WUZAPI, headers=QUEPASA, json=send):
        pass
    async with client.post(WUZAPI, headers={"X-QUEPASA-TOKEN": "other-token"}, json=send) as second:
        assert (await second.json())["status"] == "presence indicator text, previous: true"
    await asyncio.sleep(0.2)
    assert fake.seen() == [("shop", JID, TYPING), ("other", JID, TYPING), ("other", JID, PAUSED)]


async def test_ryzeapi_pauses_after_its_duration_and_the_last_command_wins(open_fake: Open) -> None:
    fake = FakeRyzeapi(sleep=scaled(0.01))
    client = await open_fake(fake)
    for duration in (5, 10):
        async with client.post(RYZE, headers=TOKEN, json={"number": DIGITS, "state": "typing", "duration": duration}):
            pass
    await asyncio.sleep(0.2)
    assert [told.state for told in fake.shown] == [TYPING, TYPING, PAUSED]


async def test_broken_json_is_a_page_for_wwebjs(open_fake: Open) -> None:
    client = await open_fake(FakeWwebjs())
    headers = {"Content-Type": "application/json"}
    async with client.post(WWEBJS, headers=headers, data=b"{") as reply:
        assert (reply.status, reply.content_type) == (400, "text/html")


def test_every_fake_has_its_own_name_and_error_rows() -> None:
    assert len({fake.name() for fake in FAKES}) == len(FAKES)
    assert all(fake.ERROR_ROWS for fake in FAKES)


@pytest.mark.parametrize("fake_of", FAKES, ids=[fake.name() for fake in FAKES])
def test_every_error_row_of_a_fake_has_its_own_name(fake_of: type[FakeUpstream]) -> None:
    names = [row.name for row in fake_of.ERROR_ROWS]
    assert len(set(names)) == len(names)
