"""One installation that all of these tests share, two tenants of it, and callers."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from acceptance.caller import Client, new_number
from acceptance.volley import callers, other_urls
from installation import Installation, installed
from operated import Tenant

__all__ = ["callers", "other_urls"]


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One running installation that all tests share; tests that kill have their own."""
    with installed(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture(scope="session")
def tenant(installation: Installation) -> Tenant:
    return installation.create_tenant()


@pytest.fixture(scope="session")
def stranger(installation: Installation) -> Tenant:
    """Another account: what is its, is none of the tenant's business."""
    return installation.create_tenant()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Client]:
    async with Client(installation) as caller:
        yield caller


@pytest.fixture
async def guesser(installation: Installation) -> AsyncIterator[Client]:
    """A caller at an address of its own, for what is limited by address."""
    low = secrets.randbelow(250) + 2
    async with Client(installation, source=f"127.77.{secrets.randbelow(250)}.{low}") as caller:
        yield caller


@pytest.fixture
def number() -> str:
    return new_number()
