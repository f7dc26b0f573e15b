"""Every upstream that people run, played on a loopback socket from its own contract: a file each, found by itself."""

from collections.abc import Iterator
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules

from fakes.base import FakeUpstream


def _found() -> Iterator[type[FakeUpstream]]:
    for module in iter_modules(__path__, f"{__name__}."):
        for member in vars(import_module(module.name)).values():
            is_fake = isinstance(member, type) and issubclass(member, FakeUpstream) and not isabstract(member)
            if is_fake and member.__module__ == module.name:
                yield member


FAKES: tuple[type[FakeUpstream], ...] = tuple(sorted(_found(), key=lambda fake: fake.name()))
