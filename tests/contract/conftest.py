"""The real client over real sockets, for every implementation of a port."""

from collections.abc import AsyncIterator

import pytest

from gateway.upstreams.client import UpstreamClient, open_client
from gateway.upstreams.registry import ADAPTERS
from gateway.upstreams.resolver import open_resolver


@pytest.fixture
async def upstreams() -> AsyncIterator[UpstreamClient]:
    async with open_resolver() as resolver, open_client(ADAPTERS, resolver) as client:
        yield client
