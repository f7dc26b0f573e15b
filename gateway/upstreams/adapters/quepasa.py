"""QuePasa: shows once and starts a timer of its own; the bot's token is both its name and its key."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import (
    PEOPLE_AND_GROUPS,
    SECOND_NET_MS,
    Adapter,
    Call,
    Capabilities,
    Connection,
    Reply,
    Rule,
)
from gateway.upstreams.reading import at, chats, lid

_TYPE = {State.TYPING: "text", State.RECORDING: "audio", State.PAUSED: "paused"}

_CONNECTION = {
    "ready": Connection.CONNECTED,
    "starting": Connection.CONNECTING,
    "connecting": Connection.CONNECTING,
    "restarting": Connection.CONNECTING,
    "reconnecting": Connection.CONNECTING,
    "connected": Connection.CONNECTING,
    "fetching": Connection.CONNECTING,
    "unverified": Connection.LOGGEDOUT,
    "unprepared": Connection.DISCONNECTED,
    "stopping": Connection.DISCONNECTED,
    "stopped": Connection.DISCONNECTED,
    "halting": Connection.DISCONNECTED,
    "disconnected": Connection.DISCONNECTED,
    "failed": Connection.DISCONNECTED,
}
"""Only a `Ready` server takes a presence (api_handlers+ChatPresenceController.go)."""

_CONTENT = frozenset(
    {"audio", "contact", "document", "image", "location", "poll", "sticker", "text", "video", "view_once"}
)


class QuePasa(Adapter):
    """`POST /chat/presence` with `X-QUEPASA-TOKEN`."""

    kind = "quepasa"
    name = "QuePasa"
    credential_header = "X-QUEPASA-TOKEN"
    names_sessions = False
    # Any other suffix is an invalid chat (whatsapp_defaults.go, AllowedSuffix).
    capabilities = Capabilities(chats=PEOPLE_AND_GROUPS, own_timer=True)
    rules = (
        # No bot has this token; fe89ad9 words it "server was not found" (ErrSessionNotFound, qp_whatsapp_session.go).
        Rule(400, Outcome.NOT_CONNECTED, "session not found"),
        Rule(400, Outcome.NOT_CONNECTED, "server was not found"),
        # The socket broke between its check and the sending (whatsmeow errors.go, ErrNotConnected).
        Rule(400, Outcome.NOT_CONNECTED, "websocket not connected"),
        Rule(503, Outcome.NOT_CONNECTED, "not ready"),
        Rule(400, Outcome.UNKNOWN_NUMBER, "invalid chatid"),
    )
    sent_at_paths = (("timestamp",),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Show until the second net, or pause at once."""
        body = {"chatid": chat.jid, "type": _TYPE[state]}
        # Without a duration it pauses at once (chat_presence_requests_controller.go).
        duration = {} if state is State.PAUSED else {"duration": SECOND_NET_MS}
        return self.post(target, "/chat/presence", body | duration)

    def probe(self, target: Target) -> Call:
        """Ask for the bot's state."""
        return self.get(target, "/health")

    def connection(self, reply: Reply) -> Connection:
        """Read `state`; the HTTP status is 200 always (api_handlers+HealthController.go)."""
        return _CONNECTION.get(str(reply.at("state")).lower(), Connection.UNKNOWN)

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read its one shape: what happened is in `type`, a receipt and a call too (whatsapp_message_type.go)."""
        if at(event, "fromme") is not True or str(at(event, "type")) not in _CONTENT:
            return ()
        if at(event, "inreaction") or at(event, "edited") or at(event, "fromhistory") or at(event, "status") == "error":
            return ()
        return chats(at(event, "chat", "id"), lid(at(event, "chat", "lid")), at(event, "chat", "phone"))
