"""evolution-go (whatsmeow behind HTTP): the instance's token is both its name and its key."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_content


class EvolutionGo(Adapter):
    """`POST /message/presence` with the instance's token; an unknown instance is a 401, like any wrong key."""

    kind = "evolution_go"
    name = "evolution-go"
    credential_header = "apikey"
    names_sessions = False
    # A client that is down is started first, and the call sleeps 2 s for it (message_service.go). A JID of any of the
    # five servers passes untouched (utils.go, CreateJID).
    capabilities = Capabilities(chats=EVERY_CHAT, answer_s=3.0)
    rules = (
        Rule(500, Outcome.NOT_CONNECTED, "client disconnected"),
        Rule(500, Outcome.NOT_CONNECTED, "no active session found"),
        # The socket broke between its check and the sending (whatsmeow errors.go, ErrNotConnected).
        Rule(500, Outcome.NOT_CONNECTED, "websocket not connected"),
        Rule(500, Outcome.UNKNOWN_NUMBER, "invalid phone number"),
        Rule(400, Outcome.UNKNOWN_NUMBER, "invalid number format"),
    )
    sent_at_paths = (("data", "info", "timestamp"),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send the full JID and nothing but two states."""
        return self.post(
            target,
            "/message/presence",
            {
                # Bare digits get a `+` and go nowhere, with a 200 all the same (issue #63).
                "number": chat.jid,
                # The word goes raw into the stanza: `recording` would be no chat state (message_service.go).
                "state": "paused" if state is State.PAUSED else "composing",
                "isAudio": state is State.RECORDING,
            },
        )

    def probe(self, target: Target) -> Call:
        """Ask for the client's socket and login."""
        return self.get(target, "/instance/status")

    def connection(self, reply: Reply) -> Connection:
        """Read `data.Connected` and `data.LoggedIn`; a client that is down answers 400 (instance_service.go)."""
        match reply.status:
            case 200:
                return Connection.of(reply.at("data", "connected"), reply.at("data", "loggedin"))
            case 400:
                return Connection.DISCONNECTED
        return Connection.UNKNOWN

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `SendMessage` (its API) and `Message` (the phone): whatsmeow's own `Info` and `Message`."""
        info = at(event, "data", "info")
        if at(event, "event") not in ("SendMessage", "Message") or at(info, "isfromme") is not True:
            return ()
        if at(info, "edit") or not is_content(at(event, "data", "message")):
            return ()
        return chats(at(info, "chat"), at(info, "recipientalt"))
