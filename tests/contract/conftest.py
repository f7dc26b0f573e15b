"""The real client over real sockets, for every implementation of a port."""

from collections.abc import AsyncIterator

import pytest
from world import TRANSPORTS

from gateway.upstreams.client import UpstreamClient, open_client
from gateway.upstreams.registry import ADAPTERS
from gateway.upstreams.resolver import open_resolver


@pytest.fixture(params=TRANSPORTS)
async def upstreams(request: pytest.FixtureRequest) -> AsyncIterator[UpstreamClient]:
    way = TRANSPORTS[request.param]
    async with open_resolver() as resolver, open_client(ADAPTERS, resolver, open_transport=way) as client:
        yield client
