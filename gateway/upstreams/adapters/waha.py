"""WAHA: success has no body, and a session that is not working is told only after up to 15 s."""

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import Adapter, Call, Capabilities, Connection, Reply, Rule

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
    # It waits up to 5 s for a running session and 10 s for a working one before it says 422 (manager.abc.ts).
    capabilities = Capabilities(answer_s=15.0)
    rules = (
        # One 422 has four shapes (seen live, 2026.1); the fourth, "Session name is required", is our configuration.
        Rule(422, Outcome.NOT_CONNECTED, '"expected"'),
        Rule(422, Outcome.NOT_CONNECTED, "does not exist"),
        Rule(422, Outcome.NOT_CONNECTED, "only 'default' session"),
        # Also said of a wrong presence (seen live), which we never send: this engine has none.
        Rule(501, Outcome.UNSUPPORTED),
    )

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send our own words, which are its words too."""
        return Call(
            f"/api/{target.session_path}/presence",
            {
                # Only some of its engines add the suffix to bare digits; WEBJS does not (setPresence).
                "chatId": f"{chat.user}@c.us" if chat.is_phone else chat.jid,
                "presence": state.value,
            },
            {"X-Api-Key": target.credential},
        )

    def is_success(self, reply: Reply) -> bool:
        """Take 201 with an empty body: that is its success (seen live, 2026.1)."""
        return super().is_success(reply) if reply.body.strip() else reply.status == 201  # noqa: PLR2004

    def probe(self, target: Target) -> Call:
        """Ask for the session."""
        return Call(f"/api/sessions/{target.session_path}", None, {"X-Api-Key": target.credential}, "GET")

    def connection(self, reply: Reply) -> Connection:
        """Read `status`."""
        return _CONNECTION.get(str(reply.at("status")).lower(), Connection.UNKNOWN)
