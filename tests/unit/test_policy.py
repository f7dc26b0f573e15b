"""Which upstreams tenants may name: every disguise of an inner address is refused, when given and when connected."""

import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from world import TRANSPORTS

from gateway.presence.errors import UpstreamNotAllowed
from gateway.presence.model import Outcome, Target
from gateway.upstreams.base import Call, Reply
from gateway.upstreams.policy import AddressRefused, PublicResolver, UpstreamPolicy, is_public, literal_of
from gateway.upstreams.pools import Pools, open_pools
from gateway.upstreams.resolver import NameUnresolved, asking_account, open_resolver

OPEN = UpstreamPolicy(tenants_may_bring=True)
LISTED = UpstreamPolicy(["https://waha.example:3000", "http://127.0.0.1:8888"])


def tenants(url: str) -> Target:
    return Target("waha", url, "s", trusted=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://017700000001",
        "http://0",
        "http://0.0.0.0",
        "http://127.0.0.1.",
        "http://[::1]",
        "http://[::]",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]",
        "http://[::127.0.0.1]",
        "http://[64:ff9b::7f00:1]",
        "http://[64:ff9b::10.0.0.1]",
        "http://[64:ff9b:1::a00:1]",
        "http://[2002:7f00:1::]",
        "http://[2002:a00:1::1]",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "http://[fe80::1]",
        "http://[fe80::1%25eth0]",
        "http://[fc00::1]",
        "http://[fd12:3456::1]",
        "http://[fec0::1]",
        "http://[ff02::1]",
        "http://10.0.0.1",
        "http://172.16.0.1",
        "http://192.168.1.1",
        "http://169.254.169.254",
        "http://100.64.0.1",
        "http://192.0.0.1",
        "http://198.18.0.1",
        "http://224.0.0.1",
        "http://240.0.0.1",
        "http://255.255.255.255",
        "http://user@8.8.8.8",
        "http://user:secret@8.8.8.8",
        "http://@8.8.8.8",
        "http://8.8.8.8?",
        "http://8.8.8.8/?x=",
        "http://8.8.8.8/#",
        "http://8.8.8.8\\@127.0.0.1",
        "http:// 8.8.8.8",
        "http://8.8.8.8:0",
        "http://8.8.8.8:99999",
        "ftp://8.8.8.8",
        "file:///etc/passwd",
        "gopher://8.8.8.8",
        "unix:///run/docker.sock",
        "//8.8.8.8",
        "8.8.8.8",
        "http://",
        "",
        "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "http://127\u30020\u30020\u30021",
        "http://127\uff0e0\uff0e0\uff0e1",
        "http://0x7f000001.",
        "http://0xA9FEA9FE",
        "http://2852039166",
        "http://169.254.43518",
        "http://0300.0250.1.1",
        "http://4294967295",
        "http://127.255.255.254",
        "http://172.31.255.255",
        "http://100.127.255.255",
        "http://192.0.2.1",
        "http://198.51.100.1",
        "http://203.0.113.1",
        "http://192.88.99.1",
        "http://[::ffff:10.0.0.1]",
        "http://[::ffff:169.254.169.254]",
        "http://[::ffff:0:127.0.0.1]",
        "http://[::8.8.8.8]",
        "http://[100::1]",
        "http://[2001:db8::1]",
        "http://[2001:10::1]",
        "http://[3fff::1]",
        "http://[5f00::1]",
        "http://[fd00:ec2::254]",
        "http://[fe80::a9fe:a9fe]",
        "http://[8.8.8.8]",
        "http://[v1.x]",
        "http://[::1",
        "http://[::1]%20",
        "http://::1",
        "http://127.0.0.1%00.example",
        "http://%31%32%37.0.0.1",
        "http://8.8.8.8%2f@127.0.0.1",
        "http://8.8.8.8;@127.0.0.1",
        "http://8.8.8.8,127.0.0.1",
        "http://127.0.0.1#@8.8.8.8",
        "http://8.8.8.8:80:90",
        "http://8.8.8.8:-1",
        "http://8.8.8.8\r\nHost: 127.0.0.1",
        "http:/8.8.8.8",
        "http:///8.8.8.8",
        "http:8.8.8.8",
        "http+unix://%2frun%2fdocker.sock",
        "ws://8.8.8.8",
        "javascript:alert(1)",
        "http://xn--.example",
        "http://xn--a.example",
        "http://a..b",
        "http://.",
        "http://*.example",
        "http://a\x00b",
        "http://" + "a" * 64 + ".example",
        "http://" + "a." * 127 + "example",
        "http://\udcff.example",
    ],
)
def test_no_disguise_gets_through(url: str) -> None:
    assert OPEN.route(tenants(url)) == "refused"
    assert LISTED.route(tenants(url)) == "refused"


@pytest.mark.parametrize("url", ["http://8.8.8.8", "https://waha.example/base", "http://[2606:4700::1111]:3000"])
def test_public_addresses_and_names_go_through_the_guarded_pool_where_tenants_may_bring_them(url: str) -> None:
    assert OPEN.route(tenants(url)) == "guarded"
    assert UpstreamPolicy().route(tenants(url)) == "refused"


@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("https://waha.example:3000", "open"),
        ("https://WAHA.example.:3000/", "open"),
        ("http://127.0.0.1:8888", "open"),
        ("https://waha.example", "refused"),
        ("http://waha.example:3000", "refused"),
        ("https://waha.example:3000/admin", "refused"),
        ("https://waha.example:3000@evil.example", "refused"),
        ("https://waha.example.evil:3000", "refused"),
    ],
)
def test_an_allowed_origin_is_that_origin_and_nothing_else(url: str, route: str) -> None:
    assert LISTED.route(tenants(url)) == route


def test_what_the_operator_chose_is_trusted() -> None:
    assert UpstreamPolicy().route(Target("sandbox", "http://127.0.0.1:1", "s")) == "open"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_a_name_is_no_literal() -> None:
    assert literal_of("waha.example") is None
    assert literal_of("0x7f.1") == "127.0.0.1"


class Names(AbstractResolver):
    """DNS as an attacker runs it: each name's answers, one after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0)
        if not found:
            raise NameUnresolved
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in found
        ]

    async def close(self) -> None: ...


def opened(way: str, resolver: AbstractResolver) -> AbstractAsyncContextManager[Pools]:
    transport = TRANSPORTS[way]
    return open_pools(resolver, connections=4, connections_per_origin=4, policy=OPEN, open_transport=transport)


async def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    resolver = PublicResolver(Names(["8.8.8.8", "10.0.0.1"], ["8.8.8.8"]))
    with pytest.raises(AddressRefused):
        await resolver.resolve("rebind.example")
    assert len(await resolver.resolve("rebind.example")) == 1
    await resolver.close()


@pytest.mark.parametrize("way", TRANSPORTS)
async def test_a_name_that_was_public_when_given_is_refused_when_it_leads_inside_later(way: str) -> None:
    told: list[str] = []

    async def tell(request: web.Request) -> web.Response:
        told.append(request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/{any}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with opened(way, Names(["127.0.0.1"])) as pools:
        outcome = await pools.send(tenants(f"http://rebind.example:{port}"), Call("/x", {}), 2.0)
        assert outcome is Outcome.NOT_ALLOWED
        outcome = await pools.send(tenants(f"http://127.0.0.1:{port}"), Call("/x", {}), 2.0)
        assert outcome is Outcome.NOT_ALLOWED
        trusted = await pools.send(Target("waha", f"http://127.0.0.1:{port}", "s"), Call("/x", {}), 2.0)
        assert isinstance(trusted, Reply)
    assert told == ["/x"]
    await runner.cleanup()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1"),
    ],
)
async def test_no_name_leads_inside(address: str) -> None:
    with pytest.raises(AddressRefused):
        await PublicResolver(Names([address])).resolve("inside.example")


@pytest.mark.parametrize("url", ["http://a..b", "http://.", "http://" + "a" * 64 + ".example"])
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("way", TRANSPORTS)
async def test_what_cannot_be_a_name_is_nobody_reached(url: str, trusted: bool, way: str) -> None:
    """The operator's own are not checked when they are given."""
    async with open_resolver(["127.0.0.1:9"]) as resolver, opened(way, resolver) as pools:
        outcome = await pools.send(Target("waha", url, "s", trusted=trusted), Call("/x", {}), 2.0)
    assert outcome is (Outcome.UNAVAILABLE if trusted else Outcome.NOT_ALLOWED)


@pytest.mark.parametrize("way", TRANSPORTS)
async def test_a_redirect_is_never_followed(way: str) -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/inside")

    app = web.Application()
    app.router.add_post("/x", away)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with opened(way, Names()) as pools:
        target = Target("waha", f"http://127.0.0.1:{runner.addresses[0][1]}", "s")
        reply = await pools.send(target, Call("/x", {}), 2.0)
    assert isinstance(reply, Reply)
    assert reply.status == 307
    await runner.cleanup()


@pytest.mark.parametrize(
    ("answers", "is_allowed"),
    [(["8.8.8.8"], True), (["8.8.8.8", "127.0.0.1"], False), (["fd00::1"], False), ([], False)],
)
async def test_a_name_is_resolved_when_it_is_given(answers: list[str], is_allowed: bool) -> None:
    policy = UpstreamPolicy(tenants_may_bring=True, resolver=Names(answers))
    if is_allowed:
        await policy.check(tenants("https://waha.example"), "acme")
        return
    with pytest.raises(UpstreamNotAllowed):
        await policy.check(tenants("https://waha.example"), "acme")


async def test_a_public_address_needs_no_look_up_when_it_is_given() -> None:
    await UpstreamPolicy(tenants_may_bring=True, resolver=Names()).check(tenants("https://8.8.8.8"), "acme")


async def test_without_a_resolver_no_name_is_public() -> None:
    with pytest.raises(UpstreamNotAllowed):
        await OPEN.check(tenants("https://waha.example"), "acme")


async def test_a_look_up_for_a_check_counts_against_its_account() -> None:
    class Asked(Names):
        async def resolve(self, *args: Any) -> list[ResolveResult]:
            accounts.append(asking_account.get())
            return await super().resolve(*args)

    accounts: list[str] = []
    policy = UpstreamPolicy(tenants_may_bring=True, resolver=Asked(["8.8.8.8"]))
    await policy.check(tenants("https://waha.example"), "acme")
    assert accounts == ["acme"]
