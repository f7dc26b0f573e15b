"""An account whose names nobody answers for, beside a bystander: real sockets, and a DNS server of the test's own."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nameserver import NameServer, serving_names
from world import Phone, Tenant

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.upstreams.client import UpstreamClient, open_client
from gateway.upstreams.registry import ADAPTERS
from gateway.upstreams.resolver import SharedResolver, open_resolver

pytestmark = pytest.mark.one_server("names of upstreams, and DNS")

HOSTS = Path("/etc/hosts").read_text(encoding="utf-8")
CHAT = Chat("5511999999999@s.whatsapp.net")


@pytest.fixture
async def nameserver() -> AsyncIterator[NameServer]:
    async with serving_names() as server:
        yield server


@pytest.fixture
async def resolver(nameserver: NameServer) -> AsyncIterator[SharedResolver]:
    async with open_resolver([nameserver.address]) as resolver:
        yield resolver


@pytest.fixture
async def upstreams(resolver: SharedResolver) -> AsyncIterator[UpstreamClient]:
    async with open_client(ADAPTERS, resolver) as client:
        yield client


def target(phone: Phone, name: str, account: str) -> Target:
    return Target("sandbox", phone.url.replace("127.0.0.1", name), "demo", account_id=account)


async def tell(upstreams: UpstreamClient, at: Target) -> Outcome:
    return await upstreams.send(at, CHAT, State.PAUSED, timeout_s=4.5)


async def test_sixteen_names_without_an_answer_cost_a_bystander_nothing(
    upstreams: UpstreamClient, phone: Phone
) -> None:
    async def insist(name: str) -> None:
        while True:
            assert await tell(upstreams, target(phone, name, "loud")) is Outcome.UNAVAILABLE
            await asyncio.sleep(0.05)

    attack = [asyncio.create_task(insist(f"silent{i}.example")) for i in range(16)]
    took_s = []
    for i in range(100):
        began_s = time.monotonic()
        # Another name each time, so that each takes a look-up.
        assert await tell(upstreams, target(phone, f"healthy{i}.example", "quiet")) is Outcome.OK
        took_s.append(time.monotonic() - began_s)
        await asyncio.sleep(0.03)
    assert not any(task.done() for task in attack)
    for task in attack:
        task.cancel()
    assert sorted(took_s)[98] < 0.5, "a look-up waited for one that nobody answers"


async def test_an_instances_look_ups_count_against_its_account(tenant: Tenant) -> None:
    assert tenant.instance.target.account_id == tenant.instance.account_id


async def test_a_dead_name_is_answered_at_once_while_it_is_remembered(
    upstreams: UpstreamClient, phone: Phone, nameserver: NameServer
) -> None:
    dead = target(phone, "silent.example", "loud")
    assert await tell(upstreams, dead) is Outcome.UNAVAILABLE
    asked, began_s = len(nameserver.asked), time.monotonic()
    assert await tell(upstreams, dead) is Outcome.UNAVAILABLE
    assert time.monotonic() - began_s < 0.5
    assert set(nameserver.asked[asked:]) <= {"silent.example"}


async def test_a_name_that_does_not_exist_was_told_nothing(upstreams: UpstreamClient, phone: Phone) -> None:
    assert await tell(upstreams, target(phone, "missing.example", "quiet")) is Outcome.UNAVAILABLE
    assert phone.asked == 0


async def test_a_name_in_any_script_is_looked_up_as_dns_spells_it(
    upstreams: UpstreamClient, phone: Phone, nameserver: NameServer
) -> None:
    assert await tell(upstreams, target(phone, "bücher.example", "quiet")) is Outcome.OK
    assert set(nameserver.asked) == {"xn--bcher-kva.example"}


async def test_search_domains_are_tried(
    upstreams: UpstreamClient, phone: Phone, nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "tenants.example")
    async with open_resolver([nameserver.address]) as resolver, open_client(ADAPTERS, resolver) as client:
        assert await tell(client, target(phone, "waha", "quiet")) is Outcome.OK
    assert set(nameserver.asked) == {"waha.tenants.example"}


async def test_localhost_and_the_hosts_file_need_no_server(
    upstreams: UpstreamClient, resolver: SharedResolver, phone: Phone, nameserver: NameServer
) -> None:
    assert await tell(upstreams, target(phone, "localhost", "quiet")) is Outcome.OK
    for name in _names_of_hosts_file():
        assert {found["host"] for found in await resolver.resolve(name, 80, socket.AF_INET)} == {
            address[4][0] for address in socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)
        }
    assert nameserver.asked == []


async def test_literal_addresses_are_not_looked_up(
    upstreams: UpstreamClient, phone: Phone, nameserver: NameServer
) -> None:
    assert await tell(upstreams, target(phone, "127.0.0.1", "quiet")) is Outcome.OK
    assert nameserver.asked == []


def _names_of_hosts_file() -> list[str]:
    lines = [line.partition("#")[0].split() for line in HOSTS.splitlines()]
    return [name for line in lines for name in line[1:] if line[0].startswith("127.")]
