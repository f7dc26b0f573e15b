"""One pair of Valkeys for all scenarios of a module, reached by a client of our own."""

from collections.abc import Iterator

import pytest

from model.keyspace import Keyspace, open_keyspace


@pytest.fixture(scope="module")
def keyspace() -> Iterator[Keyspace]:
    with open_keyspace() as keyspace:
        yield keyspace
