"""Evolution API v2: the call blocks for its own `delay` and has sent its own `paused` when it answers."""

from typing import Any

from gateway.presence.model import Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_content

_PRESENCE = {State.TYPING: "composing", State.RECORDING: "recording", State.PAUSED: "paused"}
_CONNECTION = {
    "open": Connection.CONNECTED,
    "connecting": Connection.CONNECTING,
    "close": Connection.DISCONNECTED,
}


class Evolution(Adapter):
    """`POST /chat/sendPresence/{instance}` with the global `apikey` or the instance's own."""

    kind = "evolution"
    name = "Evolution API v2"
    credential_header = "apikey"
    # A call shows once, for `delay`, then pauses (whatsapp.baileys.service.ts, sendPresence). The next one starts just
    # after that, since two at once undo each other; above 20 s an old loop shows again after a stop (seen live). Of a
    # newsletter it keeps the digits, which are a group's then, or a phone's (createJid.ts).
    capabilities = Capabilities(
        chats=EVERY_CHAT - {ChatKind.NEWSLETTER}, blocks=True, own_timer=True, slice_s=4.0, refresh_s=4.1
    )
    rules = (
        Rule(404, Outcome.NOT_CONNECTED, "instance does not exist"),
        # A closed socket has five texts: this one and four that lead with a TypeError (seen live, 2.3.7).
        Rule(400, Outcome.NOT_CONNECTED, "connection closed"),
        Rule(400, Outcome.NOT_CONNECTED, '"typeerror:'),
        # In its database, but not loaded (whatsapp.baileys.service.ts, sendPresence).
        Rule(500, Outcome.NOT_CONNECTED, "reading 'sendpresence'"),
        # "Not on WhatsApp" is an object that was turned into text (src/exceptions).
        Rule(400, Outcome.UNKNOWN_NUMBER, "[object object]"),
        # The instance is of its Meta Cloud or Evolution channel, which have no presence (source, 5624bdae).
        Rule(400, Outcome.UNSUPPORTED, "method not available"),
    )
    sent_at_paths = (("data", "messagetimestamp"),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Show for one slice; all three fields are required, at the root, `delay` in milliseconds (chat.schema.ts)."""
        slice_s = 0.0 if state is State.PAUSED else self.capabilities.slice_s
        return self.post(
            target,
            f"/chat/sendPresence/{target.session_path}",
            {
                "number": chat.user if chat.is_phone else chat.jid,
                "presence": _PRESENCE[state],
                "delay": round(slice_s * 1000),
            },
        )

    def unavailable(self, target: Target) -> Call:
        """Mark the whole account (whatsapp.baileys.service.ts, setPresence)."""
        return self.post(target, f"/instance/setPresence/{target.session_path}", {"presence": "unavailable"})

    def probe(self, target: Target) -> Call:
        """Ask for the instance's socket."""
        return self.get(target, f"/instance/connectionState/{target.session_path}")

    def connection(self, reply: Reply) -> Connection:
        """Read `instance.state`; it is missing where the instance is in the database but not loaded (seen live)."""
        if self.outcome(reply) is Outcome.NOT_CONNECTED:
            return Connection.DISCONNECTED
        if reply.at("instance", "instancename") and reply.at("instance", "state") is None:
            return Connection.DISCONNECTED
        return _CONNECTION.get(str(reply.at("instance", "state")).lower(), Connection.UNKNOWN)

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `send.message` (its API) and `messages.upsert` (the phone): Baileys' key, message and status."""
        data = at(event, "data")
        if at(event, "event") not in ("send.message", "messages.upsert") or at(data, "key", "fromme") is not True:
            return ()
        if at(data, "status") == "ERROR" or not is_content(at(data, "message")):
            return ()
        return chats(at(data, "key", "remotejid"), at(data, "key", "remotejidalt"))
