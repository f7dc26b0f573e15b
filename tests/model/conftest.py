"""One Valkey for all scenarios of the session, reached by a client of our own."""

from collections.abc import Iterator

import pytest

from model.keyspace import Keyspace


@pytest.fixture(scope="session")
def keyspace(redis_url: str) -> Iterator[Keyspace]:
    keyspace = Keyspace(redis_url.removeprefix("unix://"))
    yield keyspace
    keyspace.close()
