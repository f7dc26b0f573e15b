"""The words of the domain as immutable values: State, Chat, Account, Instance, Principal, Quota, Indicator."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.presence.errors import InvalidNumber

MAX_DURATION_S = 60
"""Longer durations are truncated to this (contract section 4)."""

_SEPARATORS = str.maketrans("", "", "+ -.()")
_PHONE = re.compile(r"[0-9]{7,15}")
_DEVICE = re.compile(r":[0-9]{1,5}\Z")
_USER_OF_SERVER = {
    "s.whatsapp.net": _PHONE,
    "g.us": re.compile(r"[0-9]{5,25}(-[0-9]{5,15})?"),
    "lid": re.compile(r"[0-9]{1,25}"),
    "newsletter": re.compile(r"[0-9]{1,25}"),
    "broadcast": re.compile(r"status"),
}
_MAX_NUMBER_LENGTH = 64


class State(StrEnum):
    """What a chat is told to show."""

    TYPING = "typing"
    RECORDING = "recording"
    PAUSED = "paused"


STATE_OF_WORD = {"typing": State.TYPING, "recording": State.RECORDING, "pause": State.PAUSED, "paused": State.PAUSED}
"""Every word a caller may send, lower-cased."""


class ChatKind(StrEnum):
    """What sort of recipient a chat is; not every upstream reaches all of them."""

    PHONE = "phone"
    GROUP = "group"
    LID = "lid"
    NEWSLETTER = "newsletter"
    STATUS = "status"


_KIND_OF_SERVER = {
    "s.whatsapp.net": ChatKind.PHONE,
    "g.us": ChatKind.GROUP,
    "lid": ChatKind.LID,
    "newsletter": ChatKind.NEWSLETTER,
    "broadcast": ChatKind.STATUS,
}


class Chat(NamedTuple):
    """A recipient by its canonical JID, so that two spellings of one chat are one chat."""

    jid: str

    @classmethod
    def parse(cls, number: str) -> "Chat":
        """Read digits or a JID (contract section 4.2).

        Raises:
            InvalidNumber: WhatsApp could have no such recipient.
        """
        if len(number) > _MAX_NUMBER_LENGTH:
            raise InvalidNumber
        user, at, server = number.strip(" ").partition("@")
        if not at:
            user, server = user.translate(_SEPARATORS), "s.whatsapp.net"
        else:
            server = server.lower()
            user = _DEVICE.sub("", user)
            if server == "c.us":
                server = "s.whatsapp.net"
        shape = _USER_OF_SERVER.get(server)
        if shape is None or not shape.fullmatch(user):
            raise InvalidNumber
        return cls(f"{user}@{server}")

    @property
    def user(self) -> str:
        """The part before the `@`: a phone number's digits, or a group's id."""
        return self.jid.partition("@")[0]

    @property
    def server(self) -> str:
        """The part after the `@`."""
        return self.jid.partition("@")[2]

    @property
    def kind(self) -> ChatKind:
        """What sort of recipient this is."""
        return _KIND_OF_SERVER[self.server]

    @property
    def is_phone(self) -> bool:
        """Whether this is a person addressed by phone number."""
        return self.kind is ChatKind.PHONE

    @property
    def is_group(self) -> bool:
        """Whether this is a group."""
        return self.kind is ChatKind.GROUP


_READ_DIFFERENTLY = frozenset("?#@\\ \t\r\n")
"""What readers of URLs disagree about; and behind the first three may stand a secret, or what a path is glued to."""


def is_base_url(url: str) -> bool:
    """Whether an upstream's paths may be put behind it: a scheme, a host, perhaps a port and a path, nothing else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and _READ_DIFFERENTLY.isdisjoint(url)
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Where an instance's session lives: the upstream's kind, origin, session name and credential (in clear).

    `trusted` where the operator chose it; a tenant's own is held to the operator's rules at every call.
    `quiet_after_s` is how long after its last indicator the account is made unavailable: 0 never, None as its kind.
    `sealed` where no key that is configured opens its credential, which is '' then: nobody can call it.
    `account_id` is whose instance it serves, for what is shared among accounts, and `instance_id` which, for people;
    '' where it is nobody's.
    """

    kind: str
    url: str
    session: str
    credential: str = ""
    trusted: bool = True
    quiet_after_s: float | None = None
    sealed: bool = False
    account_id: str = field(default="", compare=False)
    instance_id: str = field(default="", compare=False)

    @property
    def where(self) -> str:
        """The kind and the address, as an operator may read it."""
        return f"{self.kind} {self.url}"

    @property
    def session_path(self) -> str:
        """The session's name, quoted to stand as one part of a URL's path."""
        return quote(self.session, safe="")

    def __repr__(self) -> str:
        return f"Target(kind={self.kind!r}, url={self.url!r}, session={self.session!r}, credential=***)"


@dataclass(frozen=True, slots=True)
class Instance:
    """One WhatsApp number of an account, and where its session lives; `moves` is how often that was changed."""

    id: str
    account_id: str
    name: str
    target: Target
    moves: int = 0

    @property
    def chats_id(self) -> str:
        """Under what its chats' promises are kept: another at each place, so that none is told what another owes."""
        return f"{self.id}~{self.moves}" if self.moves else self.id


class Principal(NamedTuple):
    """Who is calling: an account, or one instance of it."""

    kind: Literal["account", "instance"]
    account_id: str
    instance_id: str | None = None


class Quota(NamedTuple):
    """What is left of this minute for a token; `reset_s` is the Unix second at which the next slot frees."""

    limit: int
    remaining: int
    reset_s: int


class Outcome(StrEnum):
    """What became of one call to an upstream; every upstream's own answers are read into these."""

    OK = "ok"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    NOT_CONNECTED = "not_connected"
    NOT_READY = "not_ready"
    UNKNOWN_NUMBER = "unknown_number"
    DOUBTED_NUMBER = "doubted_number"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    GARBLED = "garbled"
    NOT_ALLOWED = "not_allowed"
    SEALED = "sealed"
    UNKNOWN = "unknown"

    @property
    def settled(self) -> Literal["ok", "failed", "unknown"]:
        """Whether the upstream acted: yes, surely not, or nobody knows."""
        if self is Outcome.OK:
            return "ok"
        return "unknown" if self in _MAY_HAVE_ACTED else "failed"


# `NOT_READY`: its session is down, and it may still act when that comes up. `DOUBTED_NUMBER`: it does not know the
# number, and acts all the same.
_MAY_HAVE_ACTED = {Outcome.UNKNOWN, Outcome.GARBLED, Outcome.NOT_READY, Outcome.DOUBTED_NUMBER}
