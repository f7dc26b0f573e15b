"""uazapiGO: shows in the background and re-sends by itself until its own timer, or our pause, ends it."""

from typing import Any

from gateway.presence.model import Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.base import SECOND_NET_MS, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import NO_CONTENT, at, chats

_PRESENCE = {State.TYPING: "composing", State.RECORDING: "recording", State.PAUSED: "paused"}

_NOT_SENT = ("failed", "deleted")


class Uazapi(Adapter):
    """`POST /message/presence` with the instance's `token`."""

    kind = "uazapi"
    name = "uazapi"
    credential_header = "token"
    names_sessions = False
    # For "a contact or a group", says its document; what becomes of other JIDs is not written anywhere
    # (uazapi-openapi-spec.yaml l.4038).
    capabilities = Capabilities(chats=frozenset({ChatKind.PHONE, ChatKind.GROUP}), own_timer=True)
    rules = (
        Rule(500, Outcome.NOT_CONNECTED, "no session"),
        # The same text names a wrong presence, which we never send (uazapi-openapi-spec.yaml l.4038).
        Rule(400, Outcome.UNKNOWN_NUMBER, "número inválido"),
    )
    sent_at_paths = (("message", "messagetimestamp"), ("messagetimestamp",))

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Show until the second net, or pause at once."""
        body = {"number": chat.user if chat.is_phone else chat.jid, "presence": _PRESENCE[state]}
        # Without a delay it would go on for five minutes (uazapi-openapi-spec.yaml l.4038).
        delay = {} if state is State.PAUSED else {"delay": SECOND_NET_MS}
        return self.post(target, "/message/presence", body | delay)

    def unavailable(self, target: Target) -> Call:
        """Mark the account (uazapi-openapi-spec.yaml, /instance/presence)."""
        return self.post(target, "/instance/presence", {"presence": "unavailable"})

    def probe(self, target: Target) -> Call:
        """Ask for the instance."""
        return self.get(target, "/instance/status")

    def connection(self, reply: Reply) -> Connection:
        """Read `instance.status`, whose words are ours (uazapi-openapi-spec.yaml, /instance/status)."""
        return Connection(str(reply.at("instance", "status")).lower())

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `messages`: its message stands in `message` (as clients read it) or beside `EventType`."""
        message = at(event, "message") or event
        if at(event, "eventtype") != "messages" or at(message, "fromme") is not True:
            return ()
        if at(message, "reaction") or at(message, "edited") or str(at(message, "status")).lower() in _NOT_SENT:
            return ()
        if str(at(message, "messagetype")).lower() in NO_CONTENT:
            return ()
        return chats(
            at(message, "chatid"),
            at(message, "chatlid"),
            at(event, "chat", "wa_chatid"),
            at(event, "chat", "wa_chatlid"),
        )
