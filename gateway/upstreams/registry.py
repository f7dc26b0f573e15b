"""The upstreams that we know, by kind: every adapter in `adapters/`, and every one that another package brings.

Another package brings one as an entry point of the group `presence_gateway.upstreams`: `kind = "module:Class"`.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import MappingProxyType

from gateway.upstreams import adapters
from gateway.upstreams.base import Adapter

GROUP = "presence_gateway.upstreams"


def by_kind(known: Iterable[type[Adapter]]) -> Mapping[str, Adapter]:
    """Make one object of each kind, in the kinds' alphabetical order.

    Raises:
        RuntimeError: two adapters claim one kind; which of them an instance would get is not for chance to say.
    """
    made: dict[str, Adapter] = {}
    for adapter in sorted(known, key=lambda one: one.kind):
        if adapter.kind in made:
            raise RuntimeError(f"upstream kind {adapter.kind!r} is claimed by {type(made[adapter.kind])} and {adapter}")
        made[adapter.kind] = adapter()
    return MappingProxyType(made)


def _ours() -> Iterator[type[Adapter]]:
    for found in iter_modules(adapters.__path__, f"{adapters.__name__}."):
        for member in vars(import_module(found.name)).values():
            if isinstance(member, type) and issubclass(member, Adapter) and member.__module__ == found.name:
                yield member


def _from_outside() -> Iterator[type[Adapter]]:
    for point in entry_points(group=GROUP):
        yield point.load()


ADAPTERS: Mapping[str, Adapter] = by_kind([*_ours(), *_from_outside()])
"""Stateless, so one object of each kind serves every instance."""
