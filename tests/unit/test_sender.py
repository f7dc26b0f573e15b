"""What a request says of its sender is safe to hash, to store and to log, whatever bytes it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from gateway.api.sender import address_of, key_of, request_id_of, token_of, traceparent_of

PEER = "127.0.0.1"
CHOSEN = "my.own-token:of_24-chars"
"""An instance's token may look like any id."""


@dataclass(frozen=True)
class Request:
    """What is read of one; a mocked request of aiohttp takes no headers that are not UTF-8."""

    headers: CIMultiDict[str]
    query: MultiMapping[str]
    remote: str | None


def request_with(headers: Mapping[str, str], *, query: str = "", peer: str | None = PEER) -> web.Request:
    return cast("web.Request", Request(CIMultiDict(headers), URL(f"/x{query}", encoded=True).query, peer))


def as_read(raw: bytes) -> str:
    """A header as aiohttp hands it over."""
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("forwarded", "trusted", "counted"),
    [
        ("6.6.6.6", 0, PEER),
        ("6.6.6.6, 10.1.1.1", 1, "10.1.1.1"),
        ("6.6.6.6, 10.1.1.1", 2, "6.6.6.6"),
        ("6.6.6.6, 10.1.1.1", 9, "6.6.6.6"),
        ("", 1, PEER),
        ("6.6.6.6:8080", 1, "6.6.6.6"),
        ("::ffff:6.6.6.6", 1, "6.6.6.6"),
        ("[2001:db8:1:2:3::4]:443", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", 1, "2001:db8:1:2::/64"),
        ("fe80::1%eth0", 1, "fe80::/64"),
        ("6.6.6.6, unknown", 1, PEER),
        ("_hidden", 1, PEER),
        ("6.6.6.06", 1, PEER),
        ("6.6.6.6" + "0" * 9000, 1, PEER),
        (as_read(b"\xff"), 1, PEER),
        (as_read(b"6.6.6.\xff"), 1, PEER),
        (as_read("٦.6.6.6".encode()), 1, PEER),
    ],
)
def test_an_address_is_one_that_a_trusted_proxy_wrote_and_that_exists(
    forwarded: str, trusted: int, counted: str
) -> None:
    assert address_of(request_with({"X-Forwarded-For": forwarded}), trusted_proxies=trusted) == counted


def test_a_sender_without_an_address_counts_as_no_address() -> None:
    assert address_of(request_with({}, peer=None), trusted_proxies=1) == ""


@given(raw=st.binary(max_size=80), place=st.sampled_from(["token", "Authorization", "X-Forwarded-For", "X-Request-Id"]))
def test_any_bytes_come_out_as_text_that_can_be_stored(raw: bytes, place: str) -> None:
    request = request_with({place: ("Bearer " if place == "Authorization" else "") + as_read(raw)})
    told = (
        token_of(request) or "",
        key_of(request) or "",
        address_of(request, trusted_proxies=1),
        request_id_of(request),
    )
    assert [text for text in told if not text.isascii()] == []


def test_a_token_that_cannot_be_read_is_a_token_that_nobody_has() -> None:
    assert token_of(request_with({"token": as_read(b"\xff")})) == token_of(request_with({"token": "a b"}))
    assert token_of(request_with({})) is None


@pytest.mark.parametrize("given_id", [CHOSEN, CHOSEN.upper(), f"req-{CHOSEN}", CHOSEN[:12]])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"token": CHOSEN}, ""),
        ({"Authorization": f"Bearer {CHOSEN}"}, ""),
        ({"Authorization": CHOSEN}, ""),
        ({}, f"?token={CHOSEN}"),
        ({}, "?token=my.own%2Dtoken%3Aof_24-chars"),
        ({"token": "another-of-16-characters"}, f"?token={CHOSEN}"),
    ],
)
def test_a_token_is_no_id(given_id: str, headers: dict[str, str], query: str) -> None:
    request = request_with(headers | {"X-Request-Id": given_id}, query=query)
    assert CHOSEN[:12] not in request_id_of(request).lower()


@pytest.mark.parametrize("given_id", ["5511999999999", "pga_0123", "my-pgi_1", "a b", "", "x" * 129])
def test_what_may_be_a_number_or_a_token_of_ours_is_no_id(given_id: str) -> None:
    assert request_id_of(request_with({"X-Request-Id": given_id})) != given_id


@pytest.mark.parametrize("given_id", ["7f0d6a1e-64bd-4d39-9a3e-5f0d1c2b3a49", "a", "job:17.retry_2"])
def test_any_other_id_is_kept(given_id: str) -> None:
    assert request_id_of(request_with({"X-Request-Id": given_id, "token": CHOSEN})) == given_id


def test_a_token_is_no_trace() -> None:
    trace_id = "0123456789abcdef" * 2
    traceparent = f"00-{trace_id}-0123456789abcdef-01"
    assert traceparent_of(request_with({"traceparent": traceparent, "token": CHOSEN})) == traceparent
    assert traceparent_of(request_with({"traceparent": traceparent, "token": trace_id})) == ""
