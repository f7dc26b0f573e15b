"""RyzeAPI, the hosted API whose contract this gateway keeps; also how two gateways are chained."""

from collections.abc import Mapping
from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, lid

_NO_CONTENT = ("message_revoke", "reaction")
"""Message types that put no bubble into the chat; where one was edited, `edit` is filled (event catalog)."""


class RyzeApi(Adapter):
    """`POST /api/chat/presence/{instance}` without a duration: the timer stays ours (contract section 4)."""

    kind = "ryzeapi"
    name = "RyzeAPI"
    credential_header = "token"
    capabilities = Capabilities(chats=EVERY_CHAT)  # contract section 4.2
    rules = (
        Rule(400, Outcome.UNKNOWN_NUMBER, "invalid number"),
        Rule(404, Outcome.NOT_CONNECTED, "instance not found"),
        # Both were refused before anything was done (contract sections 3 and 4).
        Rule(429, Outcome.UNAVAILABLE),
        Rule(503, Outcome.UNAVAILABLE, "temporarily unavailable"),
        Rule(501, Outcome.UNSUPPORTED),
        Rule(503, Outcome.NOT_CONNECTED, "not connected"),
    )
    sent_at_paths = (("data", "message", "timestamp"), ("data", "timestamp"))

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send the same documented request that our own callers send."""
        word = "pause" if state is State.PAUSED else state.value
        return self.post(target, f"/api/chat/presence/{target.session_path}", {"number": chat.jid, "state": word})

    def pass_headers(self, target: Target) -> Mapping[str, str]:
        """Send the credential in the header, to the WebSocket too: a query would stand in its access log."""
        return self.headers(target)

    def probe(self, target: Target) -> Call:
        """List the one instance."""
        return self.get(target, f"/api/instance/list?instanceName={target.session_path}")

    def connection(self, reply: Reply) -> Connection:
        """Read `instances[0].connection.state`; an instance that it does not know is not connected."""
        if self.outcome(reply) is Outcome.NOT_CONNECTED:
            return Connection.DISCONNECTED
        return Connection(str(reply.at("instances", 0, "connection", "state")).lower())

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `message.exchange`, whose `direction` is `outgoing` from whatever device it came."""
        data = at(event, "data")
        if at(event, "event") != "message.exchange" or _field(data, "direction") != "outgoing":
            return ()
        if _field(data, "edit") or _field(data, "reaction") or _field(data, "type") in _NO_CONTENT:
            return ()
        chat = _field(data, "chat")
        return chats(at(chat, "jid"), lid(at(chat, "lid")))


def _field(data: Any, name: str) -> Any:
    """The catalog nests everything in `data.message`; servers put half of it beside that, as clients report."""
    return at(data, "message", name) or at(data, name)
