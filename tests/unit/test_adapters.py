"""Every adapter's exact requests, and how it reads every answer that its upstream is known to give."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.presence.model import MAX_DURATION_S, Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Call, Connection, Reply
from gateway.upstreams.registry import ADAPTERS

PHONE = Chat("5511999999999@s.whatsapp.net")
GROUP = Chat("120363043968066561@g.us")
LID = Chat("182743926128731@lid")
ONE_OF_EACH = [PHONE, GROUP, LID, Chat("120363144038483540@newsletter"), Chat("status@broadcast")]
CHATS = {"phone": PHONE, "group": GROUP, "lid": LID}

TYPING, RECORDING, PAUSED = State.TYPING, State.RECORDING, State.PAUSED

HEADERS: Mapping[str, Mapping[str, str]] = {
    "sandbox": {},
    "ryzeapi": {"token": "user:secret"},
    "evolution": {"apikey": "user:secret"},
    "evolution_go": {"apikey": "user:secret"},
    "waha": {"X-Api-Key": "user:secret"},
    "wuzapi": {"token": "user:secret"},
    "gowa": {"X-Device-Id": "sales", "Authorization": "Basic dXNlcjpzZWNyZXQ="},
    "wppconnect": {"Authorization": "Bearer user:secret"},
    "wwebjs": {"x-api-key": "user:secret"},
    "uazapi": {"token": "user:secret"},
    "quepasa": {"X-QUEPASA-TOKEN": "user:secret"},
}

Request = tuple[str, State, str, str, dict[str, Any]]

REQUESTS: list[Request] = [
    ("sandbox", TYPING, "phone", "/instances/sales/presence", {"chat": PHONE.jid, "state": "typing"}),
    ("sandbox", RECORDING, "group", "/instances/sales/presence", {"chat": GROUP.jid, "state": "recording"}),
    ("sandbox", PAUSED, "lid", "/instances/sales/presence", {"chat": LID.jid, "state": "paused"}),
    ("ryzeapi", TYPING, "phone", "/api/chat/presence/sales", {"number": PHONE.jid, "state": "typing"}),
    ("ryzeapi", RECORDING, "group", "/api/chat/presence/sales", {"number": GROUP.jid, "state": "recording"}),
    ("ryzeapi", PAUSED, "lid", "/api/chat/presence/sales", {"number": LID.jid, "state": "pause"}),
    *(
        ("evolution", state, chat, "/chat/sendPresence/sales", {"number": number, "presence": word, "delay": delay})
        for state, word, delay in [(TYPING, "composing", 4000), (RECORDING, "recording", 4000), (PAUSED, "paused", 0)]
        for chat, number in [("phone", PHONE.user), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    *(
        ("evolution_go", state, chat, "/message/presence", {"number": jid, "state": word, "isAudio": audio})
        for state, word, audio in [
            (TYPING, "composing", False),
            (RECORDING, "composing", True),
            (PAUSED, "paused", False),
        ]
        for chat, jid in [("phone", PHONE.jid), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    *(
        ("waha", state, chat, "/api/sales/presence", {"chatId": chat_id, "presence": word})
        for state, word in [(TYPING, "typing"), (RECORDING, "recording"), (PAUSED, "paused")]
        for chat, chat_id in [("phone", "5511999999999@c.us"), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    *(
        ("wuzapi", state, chat, "/chat/presence", {"Phone": phone, "State": word, "Media": media})
        for state, word, media in [(TYPING, "composing", ""), (RECORDING, "composing", "audio"), (PAUSED, "paused", "")]
        for chat, phone in [("phone", "5511999999999"), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    *(
        ("gowa", state, chat, "/send/chat-presence", {"phone": jid, "action": action})
        for state, action in [(TYPING, "start"), (PAUSED, "stop")]
        for chat, jid in [("phone", PHONE.jid), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    *(
        (
            "wppconnect",
            state,
            chat,
            f"/api/sales/{path}",
            {"phone": CHATS[chat].user, "isGroup": is_group, "value": value},
        )
        for state, path, value in [(TYPING, "typing", True), (RECORDING, "recording", True), (PAUSED, "typing", False)]
        for chat, is_group in [("phone", False), ("group", True)]
    ),
    *(
        ("wwebjs", state, chat, f"/chat/{method}/sales", {"chatId": chat_id})
        for state, method in [(TYPING, "sendStateTyping"), (RECORDING, "sendStateRecording"), (PAUSED, "clearState")]
        for chat, chat_id in [("phone", "5511999999999@c.us"), ("group", GROUP.jid), ("lid", LID.jid)]
    ),
    ("uazapi", TYPING, "phone", "/message/presence", {"number": PHONE.user, "presence": "composing", "delay": 65_000}),
    (
        "uazapi",
        RECORDING,
        "group",
        "/message/presence",
        {"number": GROUP.jid, "presence": "recording", "delay": 65_000},
    ),
    ("uazapi", PAUSED, "group", "/message/presence", {"number": GROUP.jid, "presence": "paused"}),
    ("quepasa", TYPING, "phone", "/chat/presence", {"chatid": PHONE.jid, "type": "text", "duration": 65_000}),
    ("quepasa", RECORDING, "group", "/chat/presence", {"chatid": GROUP.jid, "type": "audio", "duration": 65_000}),
    ("quepasa", PAUSED, "lid", "/chat/presence", {"chatid": LID.jid, "type": "paused"}),
]


def target(kind: str, *, session: str = "sales", credential: str = "user:secret") -> Target:
    return Target(kind, "https://upstream.example", session, credential)


@pytest.mark.parametrize(("kind", "state", "chat", "path", "body"), REQUESTS)
def test_a_state_on_a_chat_is_exactly_this_request(
    kind: str, state: State, chat: str, path: str, body: dict[str, Any]
) -> None:
    assert ADAPTERS[kind].presence(target(kind), CHATS[chat], state) == Call(path, body, HEADERS[kind], "POST")


def test_every_upstream_is_asked_for_every_state_it_has() -> None:
    asked = {(kind, state) for kind, state, *_ in REQUESTS}
    has = {
        (kind, state)
        for kind, adapter in ADAPTERS.items()
        for state in State
        if state is not RECORDING or adapter.capabilities.recording
    }
    assert has == asked


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_upstream_reaches_the_kinds_of_chat_that_it_declares_and_no_others(kind: str) -> None:
    able = ADAPTERS[kind].capabilities
    assert {chat.kind for chat in ONE_OF_EACH if able.reaches(chat)} == able.chats


def test_a_phone_number_that_would_be_taken_for_a_lid_is_not_reached() -> None:
    able = ADAPTERS["wppconnect"].capabilities
    assert able.reaches(Chat("55119999999999@s.whatsapp.net"))
    assert not able.reaches(Chat("551199999999999@s.whatsapp.net"))
    assert able.reaches(GROUP)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_session_cannot_break_out_of_its_place_in_the_request(kind: str) -> None:
    call = ADAPTERS[kind].presence(target(kind, session="a/../b?c#d é\r\n"), PHONE, TYPING)
    everything = call.path + "".join(call.headers.values())
    assert "a/../b" not in everything
    assert not {"?", "#", "\r", "\n", "é"} & set(everything)


def test_gowa_without_password_or_device_sends_neither_header() -> None:
    assert ADAPTERS["gowa"].presence(target("gowa", session="", credential=""), PHONE, TYPING).headers == {}


def test_gowa_alone_must_be_made_available_first() -> None:
    wanted = {kind for kind, adapter in ADAPTERS.items() if adapter.capabilities.available_first}
    calls = {kind: call for kind, adapter in ADAPTERS.items() if (call := adapter.available(target(kind)))}
    assert wanted == {"gowa"}
    assert calls == {"gowa": Call("/send/presence", {"type": "available"}, HEADERS["gowa"], "POST")}


def test_gowa_alone_has_no_recording() -> None:
    assert {kind for kind, adapter in ADAPTERS.items() if not adapter.capabilities.recording} == {"gowa"}


def test_a_slice_of_a_blocking_upstream_is_over_before_a_phone_drops_it() -> None:
    blocking = {kind: a.capabilities for kind, a in ADAPTERS.items() if a.capabilities.blocks or a.capabilities.slice_s}
    assert blocking.keys() == {"evolution"}
    assert all(capabilities.blocks and 0 < capabilities.slice_s <= 5 for capabilities in blocking.values())


@pytest.mark.parametrize(("kind", "field"), [("uazapi", "delay"), ("quepasa", "duration")])
def test_an_upstreams_own_timer_never_ends_before_ours(kind: str, field: str) -> None:
    body = ADAPTERS[kind].presence(target(kind), PHONE, TYPING).json or {}
    assert MAX_DURATION_S * 1000 < body[field] <= 300_000


def error(status: int, message: object) -> dict[str, object]:
    """Evolution's envelope."""
    return {"status": status, "error": "Bad Request", "response": {"message": message}}


Answer = tuple[str, int, object, Outcome]

ANSWERS: list[Answer] = [
    ("sandbox", 200, {"success": True}, Outcome.OK),
    ("sandbox", 400, {"error": "Unknown number"}, Outcome.UNKNOWN_NUMBER),
    ("sandbox", 503, {"error": "Not connected"}, Outcome.NOT_CONNECTED),
    ("sandbox", 501, {"error": "No"}, Outcome.UNSUPPORTED),
    # RyzeAPI (contract section 4)
    ("ryzeapi", 200, {"success": True, "message": "Presence 'typing' sent successfully"}, Outcome.OK),
    ("ryzeapi", 400, {"success": False, "error": {"message": "Invalid number"}}, Outcome.UNKNOWN_NUMBER),
    ("ryzeapi", 400, {"success": False, "error": {"message": "Invalid request body"}}, Outcome.REJECTED),
    ("ryzeapi", 401, {"success": False, "error": {"message": "Invalid token"}}, Outcome.UNAUTHORIZED),
    (
        "ryzeapi",
        403,
        {"error": {"message": "Instance token does not match the requested instance"}},
        Outcome.UNAUTHORIZED,
    ),
    ("ryzeapi", 404, {"success": False, "error": {"message": "Instance not found"}}, Outcome.NOT_CONNECTED),
    ("ryzeapi", 404, "404 page not found", Outcome.REJECTED),
    ("ryzeapi", 429, {"error": {"message": "Rate limit exceeded. Try again later."}}, Outcome.UNAVAILABLE),
    ("ryzeapi", 501, {"error": {"message": "Presence 'recording' is not supported"}}, Outcome.UNSUPPORTED),
    ("ryzeapi", 502, {"error": {"message": "Upstream rejected the request"}}, Outcome.REJECTED),
    ("ryzeapi", 503, {"error": {"message": "Instance is not connected to WhatsApp"}}, Outcome.NOT_CONNECTED),
    ("ryzeapi", 503, {"error": {"message": "Service temporarily unavailable"}}, Outcome.UNAVAILABLE),
    ("ryzeapi", 504, {"error": {"message": "Upstream did not answer in time"}}, Outcome.UNKNOWN),
    # Evolution v2 (sections 1 and 8)
    ("evolution", 201, {"presence": "composing"}, Outcome.OK),
    ("evolution", 201, {"presence": "paused"}, Outcome.OK),
    ("evolution", 401, error(401, "Unauthorized"), Outcome.UNAUTHORIZED),
    ("evolution", 404, error(404, ['The "x" instance does not exist']), Outcome.NOT_CONNECTED),
    ("evolution", 404, error(404, ["Cannot POST /chat/sendPresence/x"]), Outcome.REJECTED),
    ("evolution", 400, error(400, [['instance requires property "delay"']]), Outcome.REJECTED),
    ("evolution", 400, error(400, ["[object Object]"]), Outcome.UNKNOWN_NUMBER),
    ("evolution", 400, error(400, ["Error: Connection Closed"]), Outcome.NOT_CONNECTED),
    *(
        (
            "evolution",
            400,
            error(400, [f"TypeError: Cannot read properties of undefined (reading '{name}')"]),
            Outcome.NOT_CONNECTED,
        )
        for name in ("onWhatsApp", "presenceSubscribe", "find", "id")
    ),
    (
        "evolution",
        500,
        error(500, "Cannot read properties of undefined (reading 'sendPresence')"),
        Outcome.NOT_CONNECTED,
    ),
    ("evolution", 500, error(500, "Something else"), Outcome.REJECTED),
    ("evolution", 400, error(400, ["Method not available on WhatsApp Business API"]), Outcome.UNSUPPORTED),
    ("evolution", 400, error(400, ["Method not available on Evolution Channel"]), Outcome.UNSUPPORTED),
    ("evolution", 400, {"status": 400, "error": "Internal Server Error"}, Outcome.REJECTED),
    ("evolution", 503, {"error": "service not activated", "code": "LICENSE_REQUIRED"}, Outcome.REJECTED),
    # evolution-go (section 1b)
    ("evolution_go", 200, {"message": "success", "data": {"timestamp": "0001-01-01 00:00:00 +0000 UTC"}}, Outcome.OK),
    ("evolution_go", 401, {"error": "not authorized"}, Outcome.UNAUTHORIZED),
    ("evolution_go", 400, {"error": "phone number is required"}, Outcome.REJECTED),
    ("evolution_go", 400, {"error": "state is required"}, Outcome.REJECTED),
    ("evolution_go", 400, {"error": "number is required and cannot be empty"}, Outcome.REJECTED),
    ("evolution_go", 400, {"error": "Invalid JSON format"}, Outcome.REJECTED),
    ("evolution_go", 400, {"error": "Invalid number format: too short"}, Outcome.UNKNOWN_NUMBER),
    ("evolution_go", 500, {"error": "client disconnected"}, Outcome.NOT_CONNECTED),
    ("evolution_go", 500, {"error": "no active session found"}, Outcome.NOT_CONNECTED),
    ("evolution_go", 500, {"error": "websocket not connected"}, Outcome.NOT_CONNECTED),
    ("evolution_go", 500, {"error": "invalid phone number"}, Outcome.UNKNOWN_NUMBER),
    ("evolution_go", 503, {"error": "service not activated", "code": "LICENSE_REQUIRED"}, Outcome.REJECTED),
    # WAHA (sections 2 and 8)
    ("waha", 201, b"", Outcome.OK),
    ("waha", 201, {"result": True}, Outcome.OK),
    ("waha", 200, b"", Outcome.GARBLED),
    ("waha", 401, {"message": "Unauthorized", "statusCode": 401}, Outcome.UNAUTHORIZED),
    ("waha", 422, {"error": 'Session "x" does not exist', "session": "x"}, Outcome.NOT_CONNECTED),
    (
        "waha",
        422,
        {
            "error": "Session status is not as expected. Try again later or restart the session",
            "session": "default",
            "status": "SCAN_QR_CODE",
            "expected": ["WORKING"],
        },
        Outcome.NOT_CONNECTED,
    ),
    (
        "waha",
        422,
        {"message": "WAHA Core support only 'default' session.", "statusCode": 422},
        Outcome.NOT_CONNECTED,
    ),
    ("waha", 422, {"error": "Session name is required"}, Outcome.REJECTED),
    ("waha", 400, {"detail": "'typing' presence requires 'chatId' field."}, Outcome.REJECTED),
    (
        "waha",
        400,
        {"message": ["chatId must be a string"], "error": "Bad Request", "statusCode": 400},
        Outcome.REJECTED,
    ),
    ("waha", 500, {"statusCode": 500, "exception": {"message": "x"}, "request": {}, "version": {}}, Outcome.REJECTED),
    ("waha", 501, {"statusCode": 501, "message": "Not implemented by the engine"}, Outcome.UNSUPPORTED),
    # wuzapi (section 3)
    (
        "wuzapi",
        200,
        {"code": 200, "data": {"Details": "Chat presence set successfuly"}, "success": True},
        Outcome.OK,
    ),
    ("wuzapi", 401, {"code": 401, "error": "unauthorized", "success": False}, Outcome.UNAUTHORIZED),
    ("wuzapi", 500, {"code": 500, "error": "no session", "success": False}, Outcome.NOT_CONNECTED),
    ("wuzapi", 500, {"code": 500, "error": "No session", "success": False}, Outcome.NOT_CONNECTED),
    (
        "wuzapi",
        500,
        {"code": 500, "error": "failure sending chat presence to Whatsapp servers", "success": False},
        Outcome.NOT_CONNECTED,
    ),
    ("wuzapi", 400, {"code": 400, "error": "could not decode Payload", "success": False}, Outcome.REJECTED),
    ("wuzapi", 400, {"code": 400, "error": "missing Phone in Payload", "success": False}, Outcome.REJECTED),
    ("wuzapi", 400, {"code": 400, "error": "missing State in Payload", "success": False}, Outcome.REJECTED),
    ("wuzapi", 400, {"code": 400, "error": "could not parse Phone", "success": False}, Outcome.UNKNOWN_NUMBER),
    # GOWA (section 4)
    ("gowa", 200, {"code": "SUCCESS", "message": "Send chat presence start typing success", "results": {}}, Outcome.OK),
    ("gowa", 401, b"Unauthorized", Outcome.UNAUTHORIZED),
    (
        "gowa",
        401,
        {"code": "AUTHENTICATION_ERROR", "message": "you are not connect to services server, please reconnect"},
        Outcome.NOT_CONNECTED,
    ),
    ("gowa", 401, {"code": "AUTHENTICATION_ERROR", "message": "you are not logged in"}, Outcome.NOT_CONNECTED),
    ("gowa", 404, {"code": "DEVICE_NOT_FOUND", "message": "device not found"}, Outcome.NOT_CONNECTED),
    ("gowa", 400, {"code": "DEVICE_ID_REQUIRED", "message": "device_id is required"}, Outcome.REJECTED),
    ("gowa", 503, {"code": "DEVICE_MANAGER_UNAVAILABLE", "message": "not initialized"}, Outcome.UNAVAILABLE),
    ("gowa", 400, {"code": "VALIDATION_ERROR", "message": "phone number cannot start with 0"}, Outcome.UNKNOWN_NUMBER),
    ("gowa", 400, {"code": "INVALID_JID", "message": "Phone 1 is not on whatsapp"}, Outcome.UNKNOWN_NUMBER),
    ("gowa", 504, {"code": "GATEWAY_TIMEOUT", "message": "Request timed out"}, Outcome.UNKNOWN),
    ("gowa", 500, {"code": "INTERNAL_SERVER_ERROR", "message": "runtime error"}, Outcome.REJECTED),
    (
        "gowa",
        500,
        {"code": "INTERNAL_SERVER_ERROR", "message": "Whatsapp client is not initialized"},
        Outcome.NOT_CONNECTED,
    ),
    ("gowa", 500, {"code": "INVALID_WA_CLI", "message": "x"}, Outcome.REJECTED),
    # WPPConnect (sections 5 and 8)
    ("wppconnect", 200, {"status": "success"}, Outcome.OK),
    ("wppconnect", 200, {"status": "success", "session": "sales"}, Outcome.OK),
    ("wppconnect", 401, {"message": "Token is not present. Check your header and try again"}, Outcome.UNAUTHORIZED),
    ("wppconnect", 401, {"error": "Check that the Session and Token are correct"}, Outcome.UNAUTHORIZED),
    (
        "wppconnect",
        404,
        {"response": None, "status": "Disconnected", "message": "A sessão do WhatsApp não está ativa."},
        Outcome.NOT_CONNECTED,
    ),
    ("wppconnect", 404, b"<!DOCTYPE html><pre>Cannot POST /api</pre>", Outcome.REJECTED),
    (
        "wppconnect",
        400,
        {"response": None, "status": "Connected", "message": "O número 1 não existe.", "session": "sales"},
        Outcome.DOUBTED_NUMBER,
    ),
    ("wppconnect", 500, {"status": "error", "message": "Error on set typing", "error": {}}, Outcome.REJECTED),
    ("wppconnect", 500, {"status": "error", "message": "Error on set recording", "error": {}}, Outcome.REJECTED),
    # wwebjs-api and chrishubert/whatsapp-api (sections 7 and 8)
    ("wwebjs", 200, {"success": True, "result": True}, Outcome.OK),
    ("wwebjs", 200, {"success": True, "sendStateTyping": True}, Outcome.OK),
    ("wwebjs", 200, {"success": True, "clearState": True}, Outcome.OK),
    ("wwebjs", 403, {"success": False, "error": "Invalid API key"}, Outcome.UNAUTHORIZED),
    ("wwebjs", 404, {"success": False, "error": "session_not_found"}, Outcome.NOT_CONNECTED),
    ("wwebjs", 404, {"success": False, "error": "session_not_connected"}, Outcome.NOT_CONNECTED),
    ("wwebjs", 404, {"success": False, "error": "browser tab closed"}, Outcome.NOT_CONNECTED),
    ("wwebjs", 404, {"success": False, "error": "session closed"}, Outcome.NOT_CONNECTED),
    ("wwebjs", 404, {"success": False, "error": "Chat not Found"}, Outcome.UNKNOWN_NUMBER),
    ("wwebjs", 404, {"success": False, "error": "another text"}, Outcome.REJECTED),
    ("wwebjs", 422, {"success": False, "error": "Session should be alphanumerical or -"}, Outcome.REJECTED),
    (
        "wwebjs",
        500,
        {"success": False, "error": "Cannot read properties of undefined (reading 'getChat')"},
        Outcome.UNAVAILABLE,
    ),
    ("wwebjs", 500, {"success": False, "error": "Evaluation failed: b"}, Outcome.REJECTED),
    ("wwebjs", 400, b"<!DOCTYPE html><pre>SyntaxError</pre>", Outcome.REJECTED),
    # uazapiGO (section 7)
    ("uazapi", 200, {"response": "Chat presence sent successfully"}, Outcome.OK),
    ("uazapi", 400, {"error": "Número inválido ou tipo de presença inválido"}, Outcome.UNKNOWN_NUMBER),
    ("uazapi", 401, {"error": "Token inválido ou expirado"}, Outcome.UNAUTHORIZED),
    ("uazapi", 500, {"error": "No session"}, Outcome.NOT_CONNECTED),
    ("uazapi", 500, {"error": "Erro ao enviar presença"}, Outcome.REJECTED),
    # QuePasa (section 7)
    ("quepasa", 200, {"success": True, "status": "presence indicator text, previous: false"}, Outcome.OK),
    ("quepasa", 400, {"success": False, "status": "session not found"}, Outcome.NOT_CONNECTED),
    (
        "quepasa",
        400,
        {"success": False, "status": "the requested whatsapp server was not found"},
        Outcome.NOT_CONNECTED,
    ),
    ("quepasa", 400, {"success": False, "status": "chatid is required"}, Outcome.REJECTED),
    (
        "quepasa",
        400,
        {"success": False, "status": "invalid chatid: invalid suffix @ recipient"},
        Outcome.UNKNOWN_NUMBER,
    ),
    (
        "quepasa",
        400,
        {"success": False, "status": "failed to send presence update: websocket not connected"},
        Outcome.NOT_CONNECTED,
    ),
    (
        "quepasa",
        503,
        {"success": False, "status": "server (55@s.whatsapp.net) not ready yet ! current status: Connecting"},
        Outcome.NOT_CONNECTED,
    ),
]


def encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


@pytest.mark.parametrize(("kind", "status", "body", "outcome"), ANSWERS)
def test_a_recorded_answer_is_read_as_what_it_means(kind: str, status: int, body: object, outcome: Outcome) -> None:
    assert outcome is ADAPTERS[kind].outcome(Reply(status, encoded(body)))


@pytest.mark.parametrize(("kind", "status", "body", "outcome"), ANSWERS)
def test_letter_case_does_not_change_what_an_answer_means(
    kind: str, status: int, body: object, outcome: Outcome
) -> None:
    louder = re.sub(r"[^\W\d_]{2,}", lambda word: word[0].swapcase(), encoded(body).decode())
    if not isinstance(body, bytes):
        louder = louder.replace("TRUE", "true").replace("FALSE", "false").replace("NULL", "null")
    assert outcome is ADAPTERS[kind].outcome(Reply(status, louder.encode()))


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"{", b"[]", b'"ok"', b"\xff\xfe", b"[" * 10_000])
def test_a_success_that_is_not_this_upstreams_own_leaves_the_effect_unknown(kind: str, body: bytes) -> None:
    outcome = ADAPTERS[kind].outcome(Reply(200, body))
    assert outcome is Outcome.GARBLED
    assert outcome.settled == "unknown"


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_redirect_a_proxys_error_and_a_timeout_behind_a_proxy_are_told_apart(kind: str) -> None:
    read = [ADAPTERS[kind].outcome(Reply(status, b"<html>nginx</html>")) for status in (302, 502, 504)]
    assert read == [Outcome.REJECTED, Outcome.REJECTED, Outcome.UNKNOWN]


UNAVAILABLE: Mapping[str, tuple[str, dict[str, Any] | None]] = {
    "evolution": ("/instance/setPresence/sales", {"presence": "unavailable"}),
    "waha": ("/api/sales/presence", {"presence": "offline"}),
    "wuzapi": ("/user/presence", {"type": "unavailable"}),
    "gowa": ("/send/presence", {"type": "unavailable"}),
    "wppconnect": ("/api/sales/set-online-presence", {"isOnline": False}),
    "wwebjs": ("/client/sendPresenceUnavailable/sales", None),
    "uazapi": ("/instance/presence", {"presence": "unavailable"}),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_marking_the_account_unavailable_is_exactly_this_request_where_the_upstream_has_one(kind: str) -> None:
    call = ADAPTERS[kind].unavailable(target(kind))
    assert call == (Call(*UNAVAILABLE[kind], HEADERS[kind], "POST") if kind in UNAVAILABLE else None)


def test_what_must_be_made_available_first_can_be_made_unavailable_again() -> None:
    first = [adapter for adapter in ADAPTERS.values() if adapter.capabilities.available_first]
    assert all(adapter.unavailable(target(adapter.kind)) for adapter in first)


PROBES: Mapping[str, str] = {
    "sandbox": "/instances/sales",
    "ryzeapi": "/api/instance/list?instanceName=sales",
    "evolution": "/instance/connectionState/sales",
    "evolution_go": "/instance/status",
    "waha": "/api/sessions/sales",
    "wuzapi": "/session/status",
    "gowa": "/app/status",
    "wppconnect": "/api/sales/check-connection-session",
    "wwebjs": "/session/status/sales",
    "uazapi": "/instance/status",
    "quepasa": "/health",
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_question_for_the_session_is_exactly_this_request(kind: str) -> None:
    assert ADAPTERS[kind].probe(target(kind)) == Call(PROBES[kind], None, HEADERS[kind], "GET")


def flags(connected: object, logged_in: object, *, old: bool = False) -> dict[str, Any]:
    """The status of a whatsmeow behind HTTP, as older or newer builds spell it."""
    return {"data": {"Connected" if old else "connected": connected, "LoggedIn" if old else "loggedIn": logged_in}}


STATES: list[tuple[str, int, object, Connection]] = [
    ("sandbox", 200, {"state": "connected"}, Connection.CONNECTED),
    ("ryzeapi", 200, {"instances": [{"connection": {"state": "loggedout"}}]}, Connection.LOGGEDOUT),
    ("ryzeapi", 200, {"Instances": [{"Connection": {"State": "Connected"}}]}, Connection.CONNECTED),
    ("ryzeapi", 200, {"instances": []}, Connection.UNKNOWN),
    ("ryzeapi", 404, {"error": {"message": "Instance not found"}}, Connection.DISCONNECTED),
    ("evolution", 200, {"instance": {"instanceName": "x", "state": "open"}}, Connection.CONNECTED),
    ("evolution", 200, {"instance": {"instanceName": "x", "state": "connecting"}}, Connection.CONNECTING),
    ("evolution", 200, {"instance": {"instanceName": "x", "state": "close"}}, Connection.DISCONNECTED),
    ("evolution", 200, {"instance": {"instanceName": "x"}}, Connection.DISCONNECTED),
    ("evolution", 404, error(404, ['The "x" instance does not exist']), Connection.DISCONNECTED),
    ("evolution", 401, error(401, "Unauthorized"), Connection.UNKNOWN),
    ("evolution_go", 200, flags(connected=True, logged_in=True, old=True), Connection.CONNECTED),
    ("evolution_go", 200, flags(connected=True, logged_in=False, old=True), Connection.LOGGEDOUT),
    ("evolution_go", 200, flags(connected=False, logged_in=True, old=True), Connection.DISCONNECTED),
    ("evolution_go", 400, {"error": "client disconnected"}, Connection.DISCONNECTED),
    ("evolution_go", 400, {"error": "no active session found"}, Connection.DISCONNECTED),
    ("evolution_go", 401, {"error": "not authorized"}, Connection.UNKNOWN),
    *(
        ("waha", 200, {"name": "x", "status": status}, connection)
        for status, connection in {
            "WORKING": Connection.CONNECTED,
            "STARTING": Connection.CONNECTING,
            "STOPPED": Connection.DISCONNECTED,
            "FAILED": Connection.DISCONNECTED,
            "SCAN_QR_CODE": Connection.LOGGEDOUT,
            "PASSKEY_REQUIRED": Connection.LOGGEDOUT,
            "PASSKEY_CONFIRMATION_REQUIRED": Connection.LOGGEDOUT,
            "SOMETHING_NEW": Connection.UNKNOWN,
        }.items()
    ),
    ("waha", 401, {"message": "Unauthorized", "statusCode": 401}, Connection.UNKNOWN),
    ("wuzapi", 200, flags(connected=True, logged_in=True), Connection.CONNECTED),
    ("wuzapi", 200, flags(connected=True, logged_in=True, old=True), Connection.CONNECTED),
    ("wuzapi", 200, flags(connected=True, logged_in=False), Connection.LOGGEDOUT),
    ("wuzapi", 200, flags(connected=False, logged_in=False, old=True), Connection.DISCONNECTED),
    ("wuzapi", 500, {"code": 500, "error": "No session", "success": False}, Connection.DISCONNECTED),
    ("wuzapi", 401, {"code": 401, "error": "unauthorized", "success": False}, Connection.UNKNOWN),
    ("gowa", 200, {"results": {"is_connected": True, "is_logged_in": True}}, Connection.CONNECTED),
    ("gowa", 200, {"results": {"is_connected": True, "is_logged_in": False}}, Connection.LOGGEDOUT),
    ("gowa", 200, {"results": {"is_connected": False, "is_logged_in": False}}, Connection.DISCONNECTED),
    ("gowa", 404, {"code": "DEVICE_NOT_FOUND", "message": "device not found"}, Connection.DISCONNECTED),
    ("gowa", 401, b"Unauthorized", Connection.UNKNOWN),
    ("wppconnect", 200, {"status": True, "message": "Connected"}, Connection.CONNECTED),
    ("wppconnect", 200, {"status": False, "message": "Disconnected"}, Connection.DISCONNECTED),
    ("wppconnect", 401, {"error": "Check that the Session and Token are correct"}, Connection.UNKNOWN),
    ("wwebjs", 200, {"success": True, "state": "CONNECTED", "message": "session_connected"}, Connection.CONNECTED),
    ("wwebjs", 200, {"success": False, "state": None, "message": "session_not_found"}, Connection.DISCONNECTED),
    (
        "wwebjs",
        200,
        {"success": False, "state": "OPENING", "message": "session_not_connected"},
        Connection.DISCONNECTED,
    ),
    ("wwebjs", 200, {"success": False, "state": None, "message": "browser tab closed"}, Connection.DISCONNECTED),
    ("wwebjs", 200, {"success": False, "state": None, "message": "session closed"}, Connection.DISCONNECTED),
    ("wwebjs", 403, {"success": False, "error": "Invalid API key"}, Connection.UNKNOWN),
    ("uazapi", 200, {"instance": {"status": "connected"}, "status": {"connected": True}}, Connection.CONNECTED),
    ("uazapi", 200, {"instance": {"status": "connecting"}}, Connection.CONNECTING),
    ("uazapi", 200, {"instance": {"status": "disconnected"}}, Connection.DISCONNECTED),
    ("uazapi", 401, {"error": "instance info not found"}, Connection.UNKNOWN),
    ("quepasa", 200, {"success": True, "state": "Ready"}, Connection.CONNECTED),
    ("quepasa", 200, {"success": False, "state": "Connecting"}, Connection.CONNECTING),
    ("quepasa", 200, {"success": False, "state": "UnVerified"}, Connection.LOGGEDOUT),
    ("quepasa", 200, {"success": True, "state": "Stopped"}, Connection.DISCONNECTED),
    ("quepasa", 200, {"success": False, "status": "invalid token: not found"}, Connection.UNKNOWN),
]


@pytest.mark.parametrize(("kind", "status", "body", "connection"), STATES)
def test_the_sessions_state_is_read_in_our_words(kind: str, status: int, body: object, connection: Connection) -> None:
    assert connection is ADAPTERS[kind].connection(Reply(status, encoded(body)))


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"instance": 1, "status": [], "data": "x"}'])
def test_a_garbled_answer_about_the_session_is_unknown(kind: str, body: bytes) -> None:
    assert ADAPTERS[kind].connection(Reply(200, body)) is Connection.UNKNOWN


DOCS = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_documented_matrix_says_what_the_adapter_declares(kind: str) -> None:
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{kind}` |"))
    can = ADAPTERS[kind].capabilities
    assert [cell.strip() for cell in row.strip("|").split("|")][1:9] == [
        ADAPTERS[kind].name,
        "all" if can.chats == EVERY_CHAT else ", ".join(kind for kind in ChatKind if kind in can.chats),
        "yes" if can.recording else "no",
        f"{can.slice_s:g} s" if can.blocks else "no",
        "yes" if can.own_timer else "no",
        "yes" if can.available_first else "no",
        f"{can.answer_s:g} s",
        f"{can.refresh_s:g} s",
    ]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_document_shows_how_to_connect_it(kind: str) -> None:
    assert re.search(rf"presence-gateway instance create acme sales --upstream-kind {kind} --upstream-url \S+ ", DOCS)
