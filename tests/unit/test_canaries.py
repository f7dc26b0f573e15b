"""What the fast ways lean on is still there, and nothing else leans on a library's insides."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from aiohttp.client_proto import ResponseHandler
from arq.worker import Worker
from redis.asyncio import Connection

import gateway
import workers
from gateway.settings import Fast

ROOT = Path(gateway.__file__).parents[1]
LIBRARIES = {"aiohttp", "arq", "hiredis", "prometheus_client", "redis", "uvloop"}
LANGUAGE = {"_abc_impl", "_asdict", "_exit", "_fields", "_replace", "_value_"}
"""Python's own, which begin with a line too."""


@dataclass(frozen=True)
class Lean:
    """An attribute of a library that it promises nobody, the file that leans on it, and the switch to the plain way."""

    of: object
    name: str
    file: str
    switch: str

    @property
    def cure(self) -> str:
        return f"mend gateway/{self.file}; until then, set [fast] {self.switch} = false"


LEANS = [
    Lean(Connection(), "_reader", "fast/redis_connection.py", "pipeline"),
    Lean(Connection(), "_writer", "fast/redis_connection.py", "pipeline"),
    Lean(Worker, "_poll_iteration", "fast/batch_claims.py", "batch_claims"),
    Lean(ResponseHandler, "_parser", "fast/upstream_http.py", "upstream_http"),
]


@pytest.mark.parametrize("lean", LEANS, ids=lambda lean: lean.name)
def test_what_a_fast_way_leans_on_is_there(lean: Lean) -> None:
    kind = lean.of if isinstance(lean.of, type) else type(lean.of)
    assert hasattr(lean.of, lean.name), f"{kind.__module__}.{kind.__name__}.{lean.name} is gone: {lean.cure}"


def test_arqs_loop_still_goes_through_the_poll_step() -> None:
    (lean,) = [lean for lean in LEANS if lean.of is Worker]
    assert f"self.{lean.name}()" in inspect.getsource(Worker.main), f"arq looks at its queue another way: {lean.cure}"


def test_every_private_attribute_of_a_library_that_we_use_has_a_canary() -> None:
    assert found() == {(lean.file, lean.name) for lean in LEANS}


def test_nothing_outside_the_fence_leans_on_a_library() -> None:
    assert {file for file, _ in found() if not file.startswith("fast/")} == set()


@pytest.mark.parametrize("file", sorted((ROOT / "gateway/fast").glob("[!_]*.py")), ids=lambda file: file.stem)
def test_a_fast_file_says_what_it_leans_on_what_it_gains_and_what_the_plain_way_is(file: Path) -> None:
    said = ast.get_docstring(ast.parse(file.read_text())) or ""
    begins = [line.partition(":")[0] for line in said.splitlines()]
    assert [word for word in begins if word in {"Leans on", "Gains", "Plain way"}] == ["Leans on", "Gains", "Plain way"]
    switch = said.partition("Plain way: `[fast] ")[2].partition(" = false`")[0]
    assert switch in {way.name for way in msgspec.structs.fields(Fast)}


def found() -> set[tuple[str, str]]:
    """Every private attribute of a library that a file of ours reaches into, or overrides."""
    return {
        (str(Path(str(module.__file__)).relative_to(ROOT)).removeprefix("gateway/"), name)
        for services in (gateway, workers)
        for module in modules(services)
        for name in (*reached_into(module), *overridden(module))
    }


def modules(services: ModuleType) -> Iterator[ModuleType]:
    for each in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        if not each.name.endswith("__main__"):
            yield importlib.import_module(each.name)


def reached_into(module: ModuleType) -> list[str]:
    """The private attributes of other objects than itself that a module names."""
    named = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Attribute)]
    return [
        node.attr
        for node in named
        if is_private(node.attr) and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    ]


def overridden(module: ModuleType) -> list[str]:
    """The private attributes of a library's class that a class of ours, made in this module, has of its own."""
    return [
        name
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
        for name in vars(kind)
        if is_private(name) and is_of_a_library(kind, name)
    ]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in LANGUAGE


def is_of_a_library(kind: type, name: str) -> bool:
    bases = [base for base in kind.__mro__[1:] if base.__module__.partition(".")[0] in LIBRARIES]
    return any(name in vars(base) for base in bases)
