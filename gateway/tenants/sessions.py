"""Which sessions at upstreams are one and the same, so that no two accounts can use one."""

from collections.abc import Collection

from yarl import URL

from gateway.presence.model import Target
from gateway.tenants.tokens import TokenHasher

_SHOWN_OF_HASH = 32


class Sessions:
    """Names sessions by what reaches them: origin, credential, and the session's name where the kind has one."""

    def __init__(self, hasher: TokenHasher, *, nameless_kinds: Collection[str] = ()) -> None:
        """Hash with the installation's pepper; of `nameless_kinds` the credential alone is the session."""
        self._hash = hasher
        self._nameless = frozenset(nameless_kinds)

    def key(self, target: Target) -> str:
        """Return what stands for a target's session in Redis; '' without an upstream, or where no key opens its key."""
        if not target.kind or target.sealed:
            return ""
        words = ("session", *_origin(target.url), target.credential, self._name(target))
        return self._hash("\0".join(words))[:_SHOWN_OF_HASH]

    def are_one_place(self, one: Target, other: Target) -> bool:
        """Whether what is owed at one of them can be paused at the other: only the way in differs."""
        return self._place(one) == self._place(other)

    def _place(self, target: Target) -> tuple[str, ...]:
        inside = target.credential if target.kind in self._nameless else target.session
        return target.kind, target.url.rstrip("/"), inside

    def _name(self, target: Target) -> str:
        return "" if target.kind in self._nameless else target.session


def _origin(url: str) -> tuple[str, str, str]:
    """Read an address as a connection would; a path is no wall between sessions."""
    parsed = URL(url)
    return parsed.scheme, (parsed.raw_host or "").rstrip(".").lower(), str(parsed.port)
