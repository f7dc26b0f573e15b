"""The real client over real sockets, for every implementation of a port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from world import TRANSPORTS

from gateway.upstreams.client import UpstreamClient, open_client
from gateway.upstreams.registry import ADAPTERS
from gateway.upstreams.resolver import open_resolver

_BY_THE_PLAIN_WAY_TOO = ("evolution", "waha", "ryzeapi")
"""They are called in every manner there is: one that blocks, one that may be slow to say no, one that just answers."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the plain way of the other kinds out: it knows nothing of kinds, and would be half of this suite's time."""
    here = Path(__file__).parent
    left_out = {item for item in items if item.path.parent == here and _is_left_out(item.name)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _is_left_out(name: str) -> bool:
    _, _, given = name.partition("[")
    return "plain" in given and not any(kind in given for kind in _BY_THE_PLAIN_WAY_TOO)


@pytest.fixture(params=TRANSPORTS)
async def upstreams(request: pytest.FixtureRequest) -> AsyncIterator[UpstreamClient]:
    way = TRANSPORTS[request.param]
    async with open_resolver() as resolver, open_client(ADAPTERS, resolver, open_transport=way) as client:
        yield client
