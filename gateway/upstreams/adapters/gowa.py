"""GOWA, go-whatsapp-web-multidevice: no recording, and nothing shows until the account was set `available`."""

from base64 import b64encode
from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats


class Gowa(Adapter):
    """`POST /send/chat-presence` with HTTP Basic (a credential `user:password`); the session names the device."""

    kind = "gowa"
    name = "GOWA"
    # It has two actions and no medium (rest/send.go); it connects as `unavailable` (WHATSAPP_PRESENCE_ON_CONNECT);
    # and every call looks the number up, for 10 s at the most (WHATSAPP_ACCOUNT_VALIDATION). Any JID passes; a LID
    # whose phone number the device knows becomes that, the same person's (utils/whatsapp.go, ValidateJidWithLogin).
    capabilities = Capabilities(chats=EVERY_CHAT, recording=False, available_first=True, answer_s=10.0)
    rules = (
        # Its "not connected" is a 401 too; only this code tells it from a wrong password, which is plain text.
        Rule(401, Outcome.NOT_CONNECTED, "authentication_error"),
        Rule(404, Outcome.NOT_CONNECTED, "device_not_found"),
        # A device without a client is a bare panic (utils/whatsapp.go, MustLogin).
        Rule(500, Outcome.NOT_CONNECTED, "client is not initialized"),
        Rule(400, Outcome.UNKNOWN_NUMBER, "invalid_jid"),
        Rule(400, Outcome.UNKNOWN_NUMBER, "validation_error"),
        # Said before the request is looked at, so nothing was done (middleware/device.go).
        Rule(503, Outcome.UNAVAILABLE, "device_manager_unavailable"),
    )
    sent_at_paths = (("payload", "timestamp"),)

    def headers(self, target: Target) -> dict[str, str]:
        """Both are optional on its side; the device's name is URL-decoded there (middleware/device.go)."""
        device = {"X-Device-Id": target.session_path} if target.session else {}
        basic = b64encode(target.credential.encode()).decode()
        return device | ({"Authorization": f"Basic {basic}"} if target.credential else {})

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Start or stop typing."""
        action = "stop" if state is State.PAUSED else "start"
        return self.post(target, "/send/chat-presence", {"phone": chat.jid, "action": action})

    def available(self, target: Target) -> Call:
        """Mark the account available, as its own Chatwoot bridge does (commit a5d485e)."""
        return self.post(target, "/send/presence", {"type": "available"})

    def unavailable(self, target: Target) -> Call:
        """Undo `available`."""
        return self.post(target, "/send/presence", {"type": "unavailable"})

    def probe(self, target: Target) -> Call:
        """Ask for the device's socket and login."""
        return self.get(target, "/app/status")

    def connection(self, reply: Reply) -> Connection:
        """Read `results.is_connected` and `results.is_logged_in`."""
        if self.outcome(reply) is Outcome.NOT_CONNECTED:
            return Connection.DISCONNECTED
        return Connection.of(reply.at("results", "is_connected"), reply.at("results", "is_logged_in"))

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `message`; reactions, edits and revocations are events of other names (event_message.go)."""
        if at(event, "event") != "message" or at(event, "payload", "is_from_me") is not True:
            return ()
        return chats(at(event, "payload", "chat_id"), at(event, "payload", "chat_lid"))
