"""What an upstream adapter declares: its capabilities, its calls, and a table that reads its answers.

An adapter does no I/O. It turns (target, chat, state) into a `Call` and leaves sending, timeouts, limits and
connection errors to `client`. Answers are read by `Rule`s, first match wins; what no rule names is read by status.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

from gateway.presence.model import MAX_DURATION_S, Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.reading import at, decode, instant


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to an upstream; `path` is appended to the target's URL, every part already quoted."""

    path: str
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    method: Literal["GET", "POST"] = "POST"


@dataclass(frozen=True)
class Reply:
    """What an upstream answered: its status, its body, and its `Retry-After`."""

    status: int
    body: bytes = b""
    retry_after: str = ""

    @cached_property
    def text(self) -> str:
        """The body, lower-cased for matching: builds of one upstream differ in letter case."""
        return self.body.decode("utf-8", "replace").lower()

    @cached_property
    def json(self) -> Any:
        """The body as JSON with every key lower-cased, or None where it is not JSON."""
        return decode(self.body)

    def at(self, *path: str | int) -> Any:
        """The value at `path` (lower-case keys, list indexes) in the JSON body, or None."""
        return at(self.json, *path)


@dataclass(frozen=True, slots=True)
class Rule:
    """Read an answer of this status, whose body contains `text` (lower case; empty matches any), as `outcome`."""

    status: int
    outcome: Outcome
    text: str = ""

    def matches(self, reply: Reply) -> bool:
        """Whether this rule reads the reply."""
        return reply.status == self.status and self.text in reply.text


SECOND_NET_MS = (MAX_DURATION_S + 5) * 1000
"""An upstream's own timer, only in case we never come back: longer than any promise of ours, so it ends none early."""

EVERY_CHAT = frozenset(ChatKind)
PEOPLE_AND_GROUPS = frozenset({ChatKind.PHONE, ChatKind.GROUP, ChatKind.LID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an upstream can do, as data.

    Attributes:
        chats: the kinds of chat whose indicator surely reaches that very chat, by its source. Others are refused, for
            some upstreams make another chat of them.
        phone_digits: the longest number that it takes for a phone's.
        recording: it has a "recording audio..." indicator.
        blocks: its call returns only after the indicator's whole delay.
        own_timer: it pauses by itself after a delay that the call names.
        available_first: its indicators stay invisible until the account was set `available`.
        answer_s: the longest that a healthy first answer takes, in seconds.
        refresh_s: how often a held indicator is re-sent, in seconds.
        slice_s: where `blocks`: how long one typing or recording call shows, and so by how much later than
            `answer_s` it answers. It has paused by itself when it answers, so the next one starts after that and
            never beside it; an error that comes after about `slice_s` says nothing about whether it had shown.
    """

    chats: frozenset[ChatKind]
    phone_digits: int = 15
    recording: bool = True
    blocks: bool = False
    own_timer: bool = False
    available_first: bool = False
    answer_s: float = 1.0
    refresh_s: float = 4.0
    slice_s: float = 0.0

    def reaches(self, chat: Chat) -> bool:
        """Whether an indicator for this chat is shown on it, and on no other."""
        kind = chat.kind
        return kind in self.chats and (kind is not ChatKind.PHONE or len(chat.user) <= self.phone_digits)


class Connection(StrEnum):
    """The state of an instance's WhatsApp session (contract section 5)."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    DISCONNECTED = "disconnected"
    LOGGEDOUT = "loggedout"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "Connection":  # noqa: ARG003
        """Any word we do not know is not known."""
        return cls.UNKNOWN

    @classmethod
    def of(cls, is_connected: Any, is_logged_in: Any) -> "Connection":
        """Read what whatsmeow says of its socket and its login."""
        match is_connected, is_logged_in:
            case True, True:
                return cls.CONNECTED
            case True, False:
                return cls.LOGGEDOUT
            case False, _:
                return cls.DISCONNECTED
        return cls.UNKNOWN


class Adapter(ABC):
    """One WhatsApp HTTP API. Stateless: one object serves every instance of its kind.

    Attributes:
        kind: what an instance's upstream is called in settings, requests and the store.
        name: what people call the product.
        capabilities: what it can do.
        rules: how its answers read, the first match wins.
        credential_header: which header of every call carries the credential; '' for none, or for one of another form.
        names_sessions: whether a session is named beside its credential; else the credential is the session.
        sent_at_paths: where an event that `sent_to` reads says when its message was sent; the first that does counts.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    rules: ClassVar[tuple[Rule, ...]] = ()
    credential_header: ClassVar[str] = ""
    names_sessions: ClassVar[bool] = True
    sent_at_paths: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @abstractmethod
    def presence(self, target: Target, chat: Chat, state: State) -> Call:
        """Build the call that shows `state` on `chat`; never asked for what the capabilities exclude."""

    def headers(self, target: Target) -> Mapping[str, str]:
        """Return what this upstream knows us by."""
        return {self.credential_header: target.credential} if self.credential_header else {}

    def post(self, target: Target, path: str, json: Mapping[str, Any] | None = None) -> Call:
        """Build a call of this upstream that does something."""
        return Call(path, json, self.headers(target))

    def get(self, target: Target, path: str) -> Call:
        """Build a call of this upstream that asks for something."""
        return Call(path, None, self.headers(target), "GET")

    def available(self, target: Target) -> Call | None:  # noqa: ARG002
        """Build the call that marks the account available, where `capabilities.available_first` says so."""
        return None

    def unavailable(self, target: Target) -> Call | None:  # noqa: ARG002
        """Build the call that marks the account unavailable, so that its phone rings; None where it has none."""
        return None

    def probe(self, target: Target) -> Call | None:  # noqa: ARG002
        """Build the call that asks whether the session is connected, or None where the upstream cannot tell."""
        return None

    def pass_headers(self, target: Target) -> Mapping[str, str] | None:  # noqa: ARG002
        """Return what this upstream knows us by, where every other route of it passes through; else None."""
        return None

    def connection(self, reply: Reply) -> Connection:  # noqa: ARG002
        """Read the answer to `probe`."""
        return Connection.UNKNOWN

    def sent_to(self, event: Any) -> tuple[Chat, ...]:  # noqa: ARG002
        """The chat to which an event of this upstream's webhook says that a message of ours was sent; else nothing.

        Both its phone number and its LID, where the event names both: an indicator was shown under either. The event
        is any JSON, with its keys lower-cased (`reading.decode`). A message is what puts a bubble into the chat: a
        reaction, a revocation, a receipt or a message that failed names no chat.
        """
        return ()

    def sent_at(self, event: Any) -> float | None:
        """When the event's message was sent, in Unix seconds cut to what the event says; None where it does not say."""
        found = (instant(at(event, *path)) for path in self.sent_at_paths)
        return next((sent_s for sent_s in found if sent_s is not None), None)

    def outcome(self, reply: Reply) -> Outcome:
        """Read the answer to `presence`; an upstream says the same few things, so that each is read once."""
        if len(reply.body) > _MOST_REMEMBERED:
            return self.read(reply)
        return _outcome(self, reply.status, reply.body)

    def read(self, reply: Reply) -> Outcome:
        """Read an answer: this upstream's rules first, then what the status means everywhere."""
        for rule in self.rules:
            if rule.matches(reply):
                return rule.outcome
        if 200 <= reply.status < 300:  # noqa: PLR2004
            return Outcome.OK if self.is_success(reply) else Outcome.GARBLED
        return _OUTCOME_OF_STATUS.get(reply.status, Outcome.REJECTED)

    def is_success(self, reply: Reply) -> bool:
        """Whether the body of a 2xx is this upstream's own; anything else came from a proxy or a wrong address."""
        return isinstance(reply.json, dict)


_MOST_REMEMBERED = 512
"""Bytes of a body: with an id or a time of its own in it, it is only forgotten again."""


@lru_cache(maxsize=256)
def _outcome(adapter: Adapter, status: int, body: bytes) -> Outcome:
    return adapter.read(Reply(status, body))


_OUTCOME_OF_STATUS = {
    401: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    429: Outcome.UNAVAILABLE,
    # Behind these the request may have been handled: the answer was lost on the way back.
    408: Outcome.UNKNOWN,
    504: Outcome.UNKNOWN,
}
