"""Prints docs/upstreams.md with its table of kinds as the adapters declare it now, and everything else as it stands.

`make docs` writes it; a test runs it and compares.
"""

import json
import re
import sys
from base64 import b64encode
from pathlib import Path

from gateway.presence.model import Chat, ChatKind, State, Target
from gateway.upstreams.base import EVERY_CHAT, Adapter, Call
from gateway.upstreams.registry import ADAPTERS

PAGE = Path(__file__).with_suffix(".md")
_MARKED = re.compile(r"(?<=<!-- kinds -->\n).*?(?=<!-- end of kinds -->)", re.DOTALL)

_SECRET = "user:secret"  # noqa: S105 - shown in no page, it only leads to where a credential goes
_BASIC = b64encode(_SECRET.encode()).decode()
_USER = "5511999999999"
_CHATS = [Chat(f"{_USER}@{server}") for server in ("s.whatsapp.net", "g.us", "lid")]

_COLUMNS = (
    "kind",
    "product",
    "chats",
    "recording",
    "one call blocks for",
    "has a timer of its own",
    "must be `available` first",
    "first answer at most",
    "re-sent every",
    "credential goes into",
    "phone, group, LID as",
)


def page() -> str:
    """The whole page."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_cells(adapter) for adapter in ADAPTERS.values())]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _MARKED.sub(lambda _: table, PAGE.read_text(encoding="utf-8"))


def _cells(adapter: Adapter) -> tuple[str, ...]:
    can = adapter.capabilities
    return (
        f"`{adapter.kind}`",
        adapter.name,
        "all" if can.chats == EVERY_CHAT else ", ".join(kind for kind in ChatKind if kind in can.chats),
        _yes(can.recording),
        f"{can.slice_s:g} s" if can.blocks else "no",
        _yes(can.own_timer),
        _yes(can.available_first),
        f"{can.answer_s:g} s",
        f"{can.refresh_s:g} s",
        _credential(_call(adapter, _CHATS[0])),
        _joined([_written(chat, _call(adapter, chat)) if can.reaches(chat) else "—" for chat in _CHATS]),
    )


def _call(adapter: Adapter, chat: Chat) -> Call:
    return adapter.presence(Target(adapter.kind, "https://upstream.example", "session", _SECRET), chat, State.TYPING)


def _yes(answer: bool) -> str:  # noqa: FBT001
    return "yes" if answer else "no"


def _credential(call: Call) -> str:
    """Say which header the credential is in, and under which scheme."""
    for name, value in call.headers.items():
        scheme = value.removesuffix(_BASIC).removesuffix(_SECRET)
        if scheme != value:
            return f"`{name}: {scheme.strip()}`" if scheme else f"`{name}`"
    return "none"


def _written(chat: Chat, call: Call) -> str:
    """Say how the call names the chat."""
    found = re.search(rf"{_USER}[@a-z.]*", call.path + json.dumps(call.json))
    if found is None:
        return "otherwise"
    return {chat.jid: "JID", chat.user: "bare"}.get(found[0], f"`{found[0].removeprefix(_USER)}`")


def _joined(ways: list[str]) -> str:
    return ways[0] if len(set(ways)) == 1 else ", ".join(ways)


if __name__ == "__main__":
    sys.stdout.write(page())
