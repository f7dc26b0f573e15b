"""The bodies of the routes for instances and tokens, as checked values."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.bodies import WHOLE, decode, whole
from gateway.api.guards import NAME
from gateway.presence.errors import InvalidGrace, InvalidName, InvalidOwnToken, InvalidUpstream, NameRequired
from gateway.presence.model import Target, is_base_url
from gateway.tenants import tokens
from gateway.tenants.changes import MAX_GRACE_S
from gateway.upstreams.registry import ADAPTERS

_LONGEST_URL = 2000
_LONGEST_QUIET_S = 3600
_DOTS = {".", ".."}
"""Neither can stand in a URL's path."""


@dataclass(frozen=True, slots=True)
class NewInstance:
    """A checked request for an instance; the upstream's address is not looked at yet.

    `session` is what an operator calls its session on an upstream that is not its own.
    """

    name: str
    token: str | None
    upstream: Target | None
    session: str = ""


class UpstreamFields(msgspec.Struct, frozen=True):
    """Where the session is; an operator may name the session alone, on the default upstream."""

    kind: Annotated[str | None, Meta(description="What holds it.", extra_json_schema={"enum": [*ADAPTERS, None]})] = (
        None
    )
    url: Annotated[str | None, Meta(description="Its address.")] = None
    session: Annotated[str | None, Meta(description="What it calls the session; else the instance's name.")] = None
    credential: Annotated[str | None, Meta(description="Its key; kept encrypted and never shown.")] = None
    quiet_after_s: Annotated[
        int | float | None, Meta(description="Seconds after the last indicator until the account is made unavailable.")
    ] = None

    @property
    def names_a_session_only(self) -> bool:
        """Whether everything else is left to the default upstream."""
        return bool(self.session) and not (self.kind or self.url or self.credential)


class InstanceFields(msgspec.Struct, frozen=True):
    """An instance to be made, as a caller writes it."""

    name: Annotated[
        str | None, Meta(description="Unique within the account.", extra_json_schema={"pattern": f"^{NAME.pattern}$"})
    ] = None
    token: Annotated[str | None, Meta(description="Its token, instead of a generated one: 16 to 256 characters.")] = (
        None
    )
    upstream: UpstreamFields | None = None


class GraceFields(msgspec.Struct, frozen=True):
    """How a token is replaced."""

    grace: Annotated[
        int | float | None, Meta(description="Seconds for which the old token stays valid.", extra_json_schema=WHOLE)
    ] = None


_instance_fields = msgspec.json.Decoder(InstanceFields)
_grace_fields = msgspec.json.Decoder(GraceFields)


def new_instance(body: bytes, *, trusted: bool) -> NewInstance:
    """Read the body of a creation; an operator's upstream is `trusted`, a tenant's is not.

    Raises:
        BadRequest: with the message of contract section 5.
    """
    fields = decode(_instance_fields, body)
    if not fields.name:
        raise NameRequired
    if not is_name(fields.name):
        raise InvalidName
    if fields.token and not tokens.is_acceptable(fields.token):
        raise InvalidOwnToken
    token = fields.token or None
    if trusted and fields.upstream is not None and fields.upstream.names_a_session_only:
        return NewInstance(fields.name, token, None, session_name(fields.upstream))
    return NewInstance(fields.name, token, target(fields.upstream, trusted=trusted) if fields.upstream else None)


def target(fields: UpstreamFields, *, trusted: bool) -> Target:
    """Read an upstream.

    Raises:
        InvalidUpstream: it could not be one.
    """
    if not fields.kind or fields.kind not in ADAPTERS or not fields.url or len(fields.url) > _LONGEST_URL:
        raise InvalidUpstream
    # A tenant's is the policy's business, which says no more than that it is not allowed.
    if trusted and not is_base_url(fields.url):
        raise InvalidUpstream
    if fields.quiet_after_s is not None and not 0 <= fields.quiet_after_s <= _LONGEST_QUIET_S:
        raise InvalidUpstream
    credential, quiet_s = fields.credential or "", fields.quiet_after_s
    return Target(fields.kind, fields.url, session_name(fields), credential, trusted, quiet_s)


def session_name(fields: UpstreamFields) -> str:
    """Read what the session is called, '' where that is not said.

    Raises:
        InvalidUpstream: it could not stand in a URL.
    """
    if fields.session and not is_name(fields.session):
        raise InvalidUpstream
    return fields.session or ""


def grace_s(body: bytes) -> int:
    """Read how long the old token stays valid, in seconds; no body at all means not at all.

    Raises:
        BadRequest: it is no whole number of seconds up to a day.
    """
    given = decode(_grace_fields, body).grace if body.strip() else None
    grace = whole(given or 0)
    if not 0 <= grace <= MAX_GRACE_S:
        raise InvalidGrace
    return grace


def is_name(name: str) -> bool:
    """Whether an instance, or its session at the upstream, may be called so."""
    return bool(NAME.fullmatch(name)) and name not in _DOTS
