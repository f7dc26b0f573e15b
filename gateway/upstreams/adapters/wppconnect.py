"""WPPConnect-server: a path for each indicator, a chat as bare id and a flag, and "not connected" is a 404."""

from typing import Any

from gateway.presence.model import Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.base import Adapter, Call, Capabilities, Connection, Reply, Rule
from gateway.upstreams.reading import at, chats, is_web_content

_CONNECTION = {True: Connection.CONNECTED, False: Connection.DISCONNECTED}


class WppConnect(Adapter):
    """`POST /api/{session}/typing` or `/recording` with the session's Bearer token."""

    kind = "wppconnect"
    name = "WPPConnect"
    # Both routes cut off what stands behind the `@` and know one flag, `isGroup`: all else is a phone number, or a LID
    # where it is longer than 14 characters (deviceController.ts, setTyping and setRecording; contactToArray).
    capabilities = Capabilities(chats=frozenset({ChatKind.PHONE, ChatKind.GROUP}), phone_digits=14)
    rules = (
        # Unknown sessions and inactive ones get the same 404 (middleware/statusConnection.ts).
        Rule(404, Outcome.NOT_CONNECTED, '"disconnected"'),
        # The session is connected, and the number was not found on WhatsApp, or not looked up. That is said, and then
        # the indicator is shown, or stopped, all the same (statusConnection.ts calls next() behind it; seen live).
        Rule(400, Outcome.DOUBTED_NUMBER, '"connected"'),
    )
    sent_at_paths = (("timestamp",), ("t",))

    def headers(self, target: Target) -> dict[str, str]:
        """Send the token that the server made for the session."""
        return {"Authorization": f"Bearer {target.credential}"}

    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Turn one indicator on, or whichever there is off."""
        # One stop is enough: stopTyping and stopRecording are the same WPP.chat.markIsPaused (wppconnect
        # sender.layer.ts). `duration` stays out: with it /recording blocks (deviceController.ts l.1778).
        path = "recording" if state is State.RECORDING else "typing"
        shown = {"phone": chat.user, "isGroup": chat.is_group, "value": state is not State.PAUSED}
        return self.post(target, f"/api/{target.session_path}/{path}", shown)

    def unavailable(self, target: Target) -> Call:
        """Mark the account (sessionController.ts, setOnlinePresence)."""
        return self.post(target, f"/api/{target.session_path}/set-online-presence", {"isOnline": False})

    def probe(self, target: Target) -> Call:
        """Ask for the session."""
        return self.get(target, f"/api/{target.session_path}/check-connection-session")

    def connection(self, reply: Reply) -> Connection:
        """Read `status`, a bool: the HTTP status is 200 always (seen live, 2.10.4)."""
        status = reply.at("status")
        return _CONNECTION[status] if isinstance(status, bool) else Connection.UNKNOWN

    def sent_to(self, event: Any) -> tuple[Chat, ...]:
        """Read `onselfmessage`: a message of WhatsApp Web, flat beside `event`, its `chatId` text or an object."""
        if at(event, "event") != "onselfmessage" or not is_web_content(event):
            return ()
        return chats(at(event, "to"), at(event, "chatid"), at(event, "chatid", "_serialized"))
