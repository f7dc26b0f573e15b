"""The sandbox's adapter: our own upstream, a phone in the browser (its server lives in `gateway.sandbox`)."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats


class Sandbox(Adapter):
    """`POST /instances/{instance}/presence` on `presence-gateway sandbox`."""

    kind = "sandbox"
    name = "Sandbox"
    capabilities = Capabilities(chats=EVERY_CHAT)
    rules = (
        Rule(400, Outcome.UNKNOWN_NUMBER, "unknown number"),
        Rule(501, Outcome.UNSUPPORTED),
        Rule(503, Outcome.NOT_CONNECTED, "not connected"),
    )
    sent_at_paths = (("timestamp",),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Tell the phone."""
        return self.post(target, f"/instances/{target.session_path}/presence", {"chat": chat.jid, "state": state.value})

    def probe(self, target: Target) -> Call:
        """Ask for the session."""
        return self.get(target, f"/instances/{target.session_path}")

    def connection(self, reply: Reply) -> Connection:
        """Read `state`."""
        return Connection(reply.at("state"))

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read our own shape: `{"event": "message", "from_me": true, "chat": "<jid>"}`."""
        if at(event, "event") != "message" or at(event, "from_me") is not True:
            return ()
        return chats(at(event, "chat"))
