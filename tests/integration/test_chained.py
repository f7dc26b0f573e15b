"""Two gateways in a row: the adapter for the hosted API speaks exactly the contract that we keep ourselves."""

from collections.abc import AsyncIterator

import pytest
from world import Phone, Tenant

from gateway.api.app import create_app
from gateway.presence.errors import InstanceNotConnected, InvalidNumber, UpstreamRejected
from gateway.presence.model import Chat, Instance, State, Target
from gateway.process.server import listening
from gateway.wiring import Services

pytestmark = pytest.mark.one_server("an adapter's HTTP, in front of another gateway's")

CHAT = Chat("5511999999999@s.whatsapp.net")


@pytest.fixture
async def inner_url(services: Services) -> AsyncIterator[str]:
    async with listening(create_app(services), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def behind(inner_url: str, tenant: Tenant, *, session: str = "demo", token: str | None = None) -> Instance:
    return Instance("outer", "outer", "outer", Target("ryzeapi", inner_url, session, token or tenant.instance_token))


@pytest.mark.parametrize("state", list(State))
async def test_a_command_reaches_the_phone_through_both(
    services: Services, tenant: Tenant, phone: Phone, inner_url: str, state: State
) -> None:
    await services.presence.show(behind(inner_url, tenant), CHAT, state, 0)
    assert [(told, chat) for _, told, chat in phone.told] == [(state, CHAT.jid)]


async def test_what_the_inner_gateway_refuses_means_the_same_outside(
    services: Services, tenant: Tenant, phone: Phone, inner_url: str
) -> None:
    with pytest.raises(UpstreamRejected):
        await services.presence.show(behind(inner_url, tenant, token="x" * 20), CHAT, State.TYPING, 0)
    outsider = (await services.directory.create_account("other")).token
    with pytest.raises(InstanceNotConnected):
        await services.presence.show(behind(inner_url, tenant, token=outsider), CHAT, State.TYPING, 0)
    with pytest.raises(InvalidNumber):
        await services.presence.show(behind(inner_url, tenant), Chat("1@s.whatsapp.net"), State.TYPING, 0)
    assert phone.told == []
