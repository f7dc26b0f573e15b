"""wuzapi (whatsmeow behind HTTP): the user's token is both its name and its key, and "no session" is a 500."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_content


class Wuzapi(Adapter):
    """`POST /chat/presence` with `token`; an unknown user is a 401, like any wrong token."""

    kind = "wuzapi"
    name = "wuzapi"
    credential_header = "token"
    names_sessions = False
    # whatsmeow is handed any JID as it is (wmiau.go, parseJID).
    capabilities = Capabilities(chats=EVERY_CHAT)
    rules = (
        Rule(500, Outcome.NOT_CONNECTED, "no session"),
        # whatsmeow fails a chat state only when its socket is down (presence.go).
        Rule(500, Outcome.NOT_CONNECTED, "failure sending chat presence"),
        Rule(400, Outcome.UNKNOWN_NUMBER, "could not parse phone"),
    )
    sent_at_paths = (("event", "info", "timestamp"),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send the phone without a plus, or another chat's JID."""
        return self.post(
            target,
            "/chat/presence",
            {
                "Phone": chat.user if chat.is_phone else chat.jid,
                "State": "paused" if state is State.PAUSED else "composing",
                # Recording is composing with this medium; there is no such state (handlers.go l.2310).
                "Media": "audio" if state is State.RECORDING else "",
            },
        )

    def unavailable(self, target: Target) -> Call:
        """Mark the account (handlers.go, SendPresence)."""
        return self.post(target, "/user/presence", {"type": "unavailable"})

    def probe(self, target: Target) -> Call:
        """Ask for the session's socket and login."""
        return self.get(target, "/session/status")

    def connection(self, reply: Reply) -> Connection:
        """Read `data`; `Connected`/`LoggedIn` of older builds are `connected`/`loggedIn` now (handlers.go)."""
        if self.outcome(reply) is Outcome.NOT_CONNECTED:
            return Connection.DISCONNECTED
        return Connection.of(reply.at("data", "connected"), reply.at("data", "loggedin"))

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `Message`: whatsmeow's event, which comes only of messages that another device of the number sent."""
        info = at(event, "event", "info")
        if at(event, "type") != "Message" or at(info, "isfromme") is not True:
            return ()
        if at(info, "edit") or not is_content(at(event, "event", "message")):
            return ()
        return chats(at(info, "chat"), at(info, "recipientalt"))
