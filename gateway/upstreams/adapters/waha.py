"""WAHA: success has no body, and a session that is not working is told only after up to 15 s."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import PEOPLE_AND_GROUPS, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_content, is_web_content

_CONNECTION = {
    "working": Connection.CONNECTED,
    "starting": Connection.CONNECTING,
    "stopped": Connection.DISCONNECTED,
    "failed": Connection.DISCONNECTED,
    "scan_qr_code": Connection.LOGGEDOUT,
    "passkey_required": Connection.LOGGEDOUT,
    "passkey_confirmation_required": Connection.LOGGEDOUT,
}


class Waha(Adapter):
    """`POST /api/{session}/presence` with `X-Api-Key`."""

    kind = "waha"
    name = "WAHA"
    credential_header = "X-Api-Key"
    # It waits up to 5 s for a running session and 10 s for a working one before it says 422 (manager.abc.ts). Any JID
    # passes by NOWEB and GOWS (utils/jids.ts, toJID), but WEBJS asks a chat for a method that newsletters lack
    # (session.webjs.core.ts, setPresence; whatsapp-web.js Channel), and whether the page finds a chat for status no
    # source says.
    capabilities = Capabilities(chats=PEOPLE_AND_GROUPS, answer_s=15.0)
    rules = (
        # One 422 has four shapes (seen live, 2026.1); the fourth, "Session name is required", is our configuration.
        Rule(422, Outcome.NOT_CONNECTED, '"expected"'),
        Rule(422, Outcome.NOT_CONNECTED, "does not exist"),
        Rule(422, Outcome.NOT_CONNECTED, "only 'default' session"),
        # Also said of a wrong presence (seen live), which we never send: this engine has none.
        Rule(501, Outcome.UNSUPPORTED),
    )
    sent_at_paths = (("payload", "timestamp"),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send our own words, which are its words too."""
        return self.post(
            target,
            f"/api/{target.session_path}/presence",
            {
                # Only some of its engines add the suffix to bare digits; WEBJS does not (setPresence).
                "chatId": f"{chat.user}@c.us" if chat.is_phone else chat.jid,
                "presence": state.value,
            },
        )

    def is_success(self, reply: Reply) -> bool:
        """Take 201 with an empty body: that is its success (seen live, 2026.1)."""
        return super().is_success(reply) if reply.body.strip() else reply.status == 201  # noqa: PLR2004

    def unavailable(self, target: Target) -> Call:
        """Say `offline`, which takes no chat."""
        return self.post(target, f"/api/{target.session_path}/presence", {"presence": "offline"})

    def probe(self, target: Target) -> Call:
        """Ask for the session."""
        return self.get(target, f"/api/sessions/{target.session_path}")

    def connection(self, reply: Reply) -> Connection:
        """Read `status`."""
        return _CONNECTION.get(str(reply.at("status")).lower(), Connection.UNKNOWN)

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `message.any`; only its id names the chat alike for every engine: `true_<chat>_<message>`."""
        message = at(event, "payload")
        if at(event, "event") != "message.any" or at(message, "fromme") is not True:
            return ()
        raw = at(message, "_data")
        written = is_content(at(raw, "message")) if at(raw, "message") else is_web_content(raw)
        if not written or at(message, "ackname") == "ERROR":
            return ()
        chat = str(at(message, "id")).split("_")[1:2]
        return chats(*chat, at(raw, "key", "remotejidalt"), at(raw, "info", "recipientalt"))
