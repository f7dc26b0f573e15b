"""RyzeAPI, the hosted API whose contract this gateway keeps; also how two gateways are chained."""

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import Adapter, Call, Connection, Reply, Rule


class RyzeApi(Adapter):
    """`POST /api/chat/presence/{instance}` without a duration: the timer stays ours (contract section 4)."""

    kind = "ryzeapi"
    rules = (
        Rule(400, Outcome.UNKNOWN_NUMBER, "invalid number"),
        Rule(404, Outcome.NOT_CONNECTED, "instance not found"),
        # Both were refused before anything was done (contract sections 3 and 4).
        Rule(429, Outcome.UNAVAILABLE),
        Rule(503, Outcome.UNAVAILABLE, "temporarily unavailable"),
        Rule(501, Outcome.UNSUPPORTED),
        Rule(503, Outcome.NOT_CONNECTED, "not connected"),
    )

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Send the same documented request that our own callers send."""
        word = "pause" if state is State.PAUSED else state.value
        return Call(
            f"/api/chat/presence/{target.session_path}",
            {"number": chat.jid, "state": word},
            {"token": target.credential},
        )

    def probe(self, target: Target) -> Call:
        """List the one instance."""
        return Call(f"/api/instance/list?instanceName={target.session_path}", None, {"token": target.credential}, "GET")

    def connection(self, reply: Reply) -> Connection:
        """Read `instances[0].connection.state`; an instance that it does not know is not connected."""
        if self.outcome(reply) is Outcome.NOT_CONNECTED:
            return Connection.DISCONNECTED
        return Connection(str(reply.at("instances", 0, "connection", "state")).lower())
