"""Whom a message names is found as its body passes, wherever it stands, and never by holding the body."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.number_finder import OUTLINE_BYTES, NumberFinder

NUMBER = "5511999999999"
JID = f"{NUMBER}@s.whatsapp.net"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=700),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def found(*pieces: bytes) -> str | None:
    finder = NumberFinder()
    for piece in pieces:
        finder.feed(piece)
    chat = finder.chat()
    return chat.jid if chat else None


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(whole) + 1) for cut in cuts)
    return [whole[begin:end] for begin, end in zip([0, *ends], [*ends, len(whole)], strict=True)]


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=5), st.lists(st.integers(0, 10**6), max_size=12), st.data())
def test_the_number_is_found_among_anything_however_it_is_cut(
    fields: dict[str, object], cuts: list[int], data: st.DataObject
) -> None:
    number = data.draw(st.sampled_from([NUMBER, f"+{NUMBER}", "55 (11) 99999-9999", JID]))
    keys = data.draw(st.permutations(["number", *(key for key in fields if key not in {"number", "to"})]))
    is_ascii = data.draw(st.booleans())
    body = json.dumps({key: fields.get(key, number) for key in keys}, ensure_ascii=is_ascii)
    assert found(*cut(body.encode(errors="surrogatepass"), cuts)) == JID


@given(st.binary(max_size=300) | st.text('{}[]",:\\ab1', max_size=60).map(str.encode), st.lists(st.integers(0, 300)))
def test_any_bytes_name_the_same_chat_however_they_are_cut(body: bytes, cuts: list[int]) -> None:
    assert found(*cut(body, cuts)) == found(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"number"',
        b"{",
        b'{"number": 5511999999999}',
        b'{"number": ""}',
        b'{"number": "nobody"}',
        b'{"a": {"number": "5511999999999"}}',
        b'{"number": "5511999999999"',
        b'{"number": "5511999999999"} {}',
        b'{"number": "\xff5511999999999"}',
        b"[" * 20_000,
        b'{"a":' * 6_000,
        b"--boundary\r\nContent-Disposition: form-data",
    ],
)
def test_what_names_nobody_names_nobody(body: bytes) -> None:
    assert found(body) is None
    assert found(*(bytes([byte]) for byte in body)) is None


def test_of_a_number_given_twice_the_last_counts_as_for_every_body() -> None:
    assert found(b'{"number": "5511888888888", "number": "5511999999999"}') == JID


def test_the_recipients_other_name_counts_where_there_is_no_number() -> None:
    assert found(b'{"to": "5511999999999"}') == JID
    assert found(b'{"to": "5511888888888", "number": "5511999999999"}') == JID


@pytest.mark.parametrize("filling", [b"A", b"\\/", b'\\"', "\u20ac".encode(), b"\xff"])
def test_media_before_the_number_is_not_held(filling: bytes) -> None:
    finder = NumberFinder()
    piece = filling * (64 * 1024 // len(filling))
    finder.feed(b'{"mediaBase64": "')
    tracemalloc.start()
    for _ in range(100):
        finder.feed(piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    finder.feed(b'", "number": "5511999999999"}')
    assert finder.chat() == (JID,)
    assert peak_bytes < 256 * 1024


def test_a_body_of_nothing_but_structure_is_given_up() -> None:
    body = json.dumps({"number": NUMBER, "list": [""] * OUTLINE_BYTES}).encode()
    assert found(body) is None
