"""The bodies and queries of the operator's API, as checked values."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from gateway.api.bodies import GivenNumber, decode
from gateway.api.guards import NAME
from gateway.api.instance_bodies import UpstreamFields, target
from gateway.presence.errors import (
    ConfirmationNeeded,
    InvalidAccountName,
    InvalidFigure,
    InvalidLabel,
    InvalidUpstream,
    NumberRequired,
)
from gateway.presence.model import Chat, Target

MOST_ENTRIES = 1000
_LONGEST_LABEL = 100
_BOUNDS = {
    "per_minute": (1, 1_000_000),
    "creation_per_minute": (1, 1_000_000),
    "instances_quota": (0, 1_000_000),
    "account_per_minute": (0, 1_000_000),
    "tokens_quota": (1, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change; a figure of None goes back to the settings', and so does an upstream of None."""

    figures: dict[str, int | None]
    upstream: Target | Literal["keep"] | None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A checked request for an account."""

    name: str
    figures: dict[str, int | None]
    upstream: Target | None


class AccountFields(msgspec.Struct, frozen=True):
    """An account to be made or changed, as an operator writes it; a figure of null is the settings'."""

    name: Annotated[str | None, Meta(extra_json_schema={"pattern": f"^{NAME.pattern}$"})] = None
    per_minute: int | UnsetType | None = UNSET
    creation_per_minute: int | UnsetType | None = UNSET
    instances_quota: int | UnsetType | None = UNSET
    account_per_minute: int | UnsetType | None = UNSET
    tokens_quota: int | UnsetType | None = UNSET
    upstream: UpstreamFields | UnsetType | None = UNSET


class NameFields(msgspec.Struct, frozen=True):
    """What a token is to be called."""

    name: str | None = None


class MoveFields(msgspec.Struct, frozen=True):
    """Where an instance is to live."""

    upstream: UpstreamFields | None = None


class ConfirmFields(msgspec.Struct, frozen=True):
    """Asked for before a deletion."""

    confirm: Annotated[str | None, Meta(description="The name of what will be deleted, again.")] = None


class NumberFields(msgspec.Struct, frozen=True):
    """Whose id is asked for."""

    number: GivenNumber = None


class ChatFields(msgspec.Struct, frozen=True):
    """Which chat is meant."""

    chat: Annotated[str | None, Meta(description="A chat's id: what became of its last command counts too.")] = None


_account_fields = msgspec.json.Decoder(AccountFields)
_name_fields = msgspec.json.Decoder(NameFields)
_move_fields = msgspec.json.Decoder(MoveFields)
_confirm_fields = msgspec.json.Decoder(ConfirmFields)
_number_fields = msgspec.json.Decoder(NumberFields)
_chat_fields = msgspec.json.Decoder(ChatFields)


def new_account(body: bytes) -> NewAccount:
    """Read the body of `POST /admin/accounts`.

    Raises:
        BadRequest: it cannot be obeyed.
    """
    fields = decode(_account_fields, body)
    if not fields.name or not NAME.fullmatch(fields.name):
        raise InvalidAccountName
    chosen = _upstream(fields)
    return NewAccount(fields.name, _figures(fields), None if chosen == "keep" else chosen)


def account_change(body: bytes) -> AccountChange:
    """Read the body of `PATCH /admin/accounts/{id}`: what is not there stays, what is null is reset.

    Raises:
        BadRequest: it cannot be obeyed.
    """
    fields = decode(_account_fields, body)
    return AccountChange(_figures(fields), _upstream(fields))


def upstream(body: bytes) -> Target:
    """Read the body of `PATCH /admin/instances/{id}`: where the instance is to live.

    Raises:
        InvalidUpstream: it names none.
    """
    fields = decode(_move_fields, body).upstream
    if fields is None:
        raise InvalidUpstream
    return target(fields, trusted=True)


def label(body: bytes) -> str:
    """Read a token's name; no body at all means none.

    Raises:
        BadRequest: it cannot be printed, or is too long.
    """
    name = (decode(_name_fields, body).name if body.strip() else None) or ""
    if len(name) > _LONGEST_LABEL or not name.isprintable():
        raise InvalidLabel
    return name


def confirm(body: bytes, name: str) -> None:
    """Make sure that the name of what will be deleted was given again.

    Raises:
        BadRequest: it was not.
    """
    if not body.strip() or decode(_confirm_fields, body).confirm != name:
        raise ConfirmationNeeded


def number(body: bytes) -> Chat:
    """Read whose id is asked for.

    Raises:
        BadRequest: no number is given, or none that WhatsApp could have.
    """
    fields = decode(_number_fields, body)
    if not fields.number:
        raise NumberRequired
    return Chat.parse(fields.number)


def chat(body: bytes) -> str | None:
    """Read which chat is meant, by its id; no body at all means none.

    Raises:
        InvalidBody: it cannot be read.
    """
    return decode(_chat_fields, body).chat if body.strip() else None


def count(request: web.Request) -> int:
    """Read `?count=`, how many entries are wanted.

    Raises:
        InvalidFigure: it is no number from 1 to 1000.
    """
    given = request.query.get("count", "100")
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(MOST_ENTRIES))):
        raise InvalidFigure
    return _within(int(given), 1, MOST_ENTRIES)


def _figures(fields: AccountFields) -> dict[str, int | None]:
    given = {name: getattr(fields, name) for name in _BOUNDS}
    return {
        name: None if figure is None else _within(figure, *_BOUNDS[name])
        for name, figure in given.items()
        if figure is not UNSET
    }


def _within(figure: int, least: int, most: int) -> int:
    if not least <= figure <= most:
        raise InvalidFigure
    return figure


def _upstream(fields: AccountFields) -> Target | Literal["keep"] | None:
    if isinstance(fields.upstream, UnsetType):
        return "keep"
    # The operator's word: every worker may go there.
    return None if fields.upstream is None else target(fields.upstream, trusted=True)
