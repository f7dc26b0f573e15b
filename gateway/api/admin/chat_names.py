"""How chats are called where people read: by an id that tells no number, and by a number that is masked."""

from typing import TypeAlias

from gateway.presence.model import Chat, Instance
from gateway.tenants.tokens import TokenHasher

_ID_LENGTH = 16
_LONG = 10
"""Of fewer digits than this too few would stay hidden."""

_WORD = {"g.us": "Group", "newsletter": "Channel", "broadcast": "Status"}

Named: TypeAlias = tuple[str, str | None, str, str]
"""An instance's name, its account, a chat's id, and its masked number."""


class ChatIds:
    """Ids of chats: the same for the same chat, and found out from no number without the installation's pepper."""

    def __init__(self, hasher: TokenHasher) -> None:
        """Hash under the pepper of `hasher`."""
        self._hasher = hasher

    def of(self, jid: str) -> str:
        """Return a chat's id."""
        return self._hasher(f"chat {jid}")[:_ID_LENGTH]

    def named(self, jid: str, instance: Instance | None, chats_id: str) -> Named:
        """Name a chat as answers do; an instance that has gone is called by the id that it kept its chats under."""
        name, account = (instance.name, instance.account_id) if instance else (chats_id, None)
        return name, account, self.of(jid), masked(jid)


def masked(jid: str) -> str:
    """Return a chat's name with so much of its number as tells two apart; how long it is does not show."""
    chat = Chat(jid)
    if chat.server == "broadcast":
        return _WORD[chat.server]
    if chat.server == "s.whatsapp.net":
        return f"+{chat.user[:2] if len(chat.user) >= _LONG else ''} ••• {chat.user[-4:]}"
    return f"{_WORD.get(chat.server, 'Contact')} ••• {chat.user[-4:]}"
