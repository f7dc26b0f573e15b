"""wwebjs-api and its ancestor chrishubert/whatsapp-api: three paths, and one 404 whose text alone says what failed."""

from typing import Any

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.base import PEOPLE_AND_GROUPS, Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_web_content

_PATH = {State.TYPING: "sendStateTyping", State.RECORDING: "sendStateRecording", State.PAUSED: "clearState"}
_CONNECTION = {
    "session_connected": Connection.CONNECTED,
    "session_not_connected": Connection.DISCONNECTED,
    "session_not_found": Connection.DISCONNECTED,
    "session closed": Connection.DISCONNECTED,
    "browser tab closed": Connection.DISCONNECTED,
}


class WwebJs(Adapter):
    """`POST /chat/{method}/{session}` with `x-api-key`; a wrong one is a 403."""

    # The older one answers {"success": true, "sendStateTyping": true}: we look for no key but read any object.
    kind = "wwebjs"
    name = "wwebjs-api"
    credential_header = "x-api-key"
    # A newsletter is no chat with states (whatsapp-web.js Channel), and whether the page finds one for status no source
    # says.
    capabilities = Capabilities(chats=PEOPLE_AND_GROUPS)
    rules = (
        # A 404 has five texts: four of the connection, one of the number (seen live).
        Rule(404, Outcome.NOT_CONNECTED, "session_not_found"),
        Rule(404, Outcome.NOT_CONNECTED, "session_not_connected"),
        Rule(404, Outcome.NOT_CONNECTED, "browser tab closed"),
        Rule(404, Outcome.NOT_CONNECTED, "session closed"),
        Rule(404, Outcome.UNKNOWN_NUMBER, "chat not found"),
        # Its store is not loaded yet (seen live). The chat is fetched before anything is sent (chatController.js), so
        # surely nothing was shown and trying again is safe.
        Rule(500, Outcome.UNAVAILABLE, "reading 'getchat'"),
    )
    sent_at_paths = (("data", "message", "timestamp"),)

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Call the method of whatsapp-web.js that shows the state."""
        chat_id = f"{chat.user}@c.us" if chat.is_phone else chat.jid
        return self.post(target, f"/chat/{_PATH[state]}/{target.session_path}", {"chatId": chat_id})

    def unavailable(self, target: Target) -> Call:
        """Mark the account (clientController.js)."""
        return self.post(target, f"/client/sendPresenceUnavailable/{target.session_path}")

    def probe(self, target: Target) -> Call:
        """Ask for the session."""
        return self.get(target, f"/session/status/{target.session_path}")

    def connection(self, reply: Reply) -> Connection:
        """Read `message`: the HTTP status is 200 even for an unknown session (seen live)."""
        return _CONNECTION.get(str(reply.at("message")).lower(), Connection.UNKNOWN)

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `message_create`, which comes of every message, whoever sent it; `to` is the chat of one of ours."""
        message = at(event, "data", "message")
        if at(event, "datatype") != "message_create" or at(message, "fromme") is not True:
            return ()
        return chats(at(message, "id", "remote"), at(message, "to")) if is_web_content(message) else ()
