"""One Valkey for all scenarios, reached by a client of our own."""

from collections.abc import Iterator

import pytest

from model.keyspace import Keyspace


# A module's own: other tests of the session cut off every client of their Valkey.
@pytest.fixture(scope="module")
def keyspace(redis_url: str) -> Iterator[Keyspace]:
    keyspace = Keyspace(redis_url.removeprefix("unix://"))
    yield keyspace
    keyspace.close()
