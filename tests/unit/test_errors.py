"""The drawn tree of errors is the real one, and it is whole: no error is declared anywhere else."""

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import gateway
import workers
from gateway.presence import errors
from gateway.presence.errors import GatewayError

_LINE = re.compile(r"([│ ]*)[├└]── (\w+)(?: \((\d+)\))?")


def drawn() -> Iterator[tuple[str, str, str]]:
    """Each drawn error, its parent, and its status where one is written."""
    path = ["GatewayError"]
    assert errors.__doc__
    for indent, name, status in _LINE.findall(errors.__doc__):
        path[1 + len(indent) // 4 :] = [name]
        yield name, path[-2], status


def below(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from below(kind)


def test_the_drawn_tree_is_the_real_one_and_every_error_is_declared_beside_it() -> None:
    for package in (gateway, workers):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    # The sandbox plays other products, which have refusals of their own.
    ours = [kind for kind in below(GatewayError) if not kind.__module__.startswith("gateway.sandbox.")]
    real = {(kind.__name__, kind.__bases__[0].__name__) for kind in ours}
    assert {kind.__module__ for kind in ours} == {errors.__name__}
    assert real == {(name, parent) for name, parent, _ in drawn()}
    assert len(real) == len(list(drawn()))


def test_every_error_has_the_status_that_is_drawn_beside_it_or_its_parents() -> None:
    drawn_status = {"GatewayError": 500}
    for name, parent, status in drawn():
        drawn_status[name] = int(status) if status else drawn_status[parent]
    assert drawn_status == {name: vars(errors)[name].status for name in drawn_status}
