"""A secret is starred out in every form in which it is written, however its bytes are cut, and nothing else changes."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.starring import Stars

SECRETS = st.text(st.sampled_from('aab"\\/%<&+ é😀'), min_size=1, max_size=8)
FORMS = (
    str,
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    lambda secret: quote(secret, safe=""),
    quote,
    quote_plus,
)


def streamed(stars: Stars, pieces: list[bytes]) -> bytes:
    stream = stars.stream()
    return b"".join([*map(stream.feed, pieces), stream.end()])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_starred_byte_by_byte(form: object) -> None:
    assert callable(form)
    written = form('s/e"c\\r<e>t &é').encode()
    assert Stars('s/e"c\\r<e>t &é').whole(b"[" + written + b"]") == b"[" + b"*" * len(written) + b"]"


def test_lower_case_percent_signs_and_gos_html_escapes_are_forms_too() -> None:
    assert Stars("a/<b>").whole(b"a%2f%3cb%3e a/\\u003cb\\u003e") == b"*" * 11 + b" " + b"*" * 15


def test_no_secret_is_found_nowhere() -> None:
    assert Stars("").whole(b"anything") == b"anything"
    assert streamed(Stars(""), [b"any", b"thing"]) == b"anything"


@given(st.data(), SECRETS)
def test_any_cutting_gives_the_same_as_the_whole(data: st.DataObject, secret: str) -> None:
    parts = st.one_of(st.sampled_from([form(secret).encode() for form in FORMS]), st.binary(max_size=3))
    beginnings = st.sampled_from([secret[:end].encode() for end in range(len(secret))])
    whole = b"".join(data.draw(st.lists(st.one_of(parts, beginnings), max_size=8)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    stars = Stars(secret)
    assert streamed(stars, pieces) == stars.whole(whole)
    assert len(stars.whole(whole)) == len(whole)
    assert secret.encode() not in stars.whole(whole)


@given(SECRETS, st.binary(max_size=200))
def test_what_holds_no_secret_stays_as_it_is(secret: str, data: bytes) -> None:
    stars = Stars(secret)
    if not stars.are_in(data):
        assert streamed(stars, [data]) == data


@given(SECRETS, st.lists(st.binary(max_size=20), max_size=10))
def test_no_more_is_held_back_than_may_be_the_beginning_of_a_secret(secret: str, pieces: list[bytes]) -> None:
    stars = Stars(secret)
    stream = stars.stream()
    given_on = b"".join(map(stream.feed, pieces))
    held = b"".join(pieces)[len(given_on) :]
    assert not held or len(held) < 12 * len(secret.encode())
    assert given_on + stream.end() == stars.whole(b"".join(pieces))
