"""Which headers and which parts of a query travel on, either way."""

import pytest
from multidict import CIMultiDict

from gateway.upstreams.end_to_end import answer_headers, query_without_token, request_headers
from gateway.upstreams.starring import Stars


def sent(*given: tuple[str, str]) -> list[tuple[str, str]]:
    headers = request_headers(CIMultiDict(given), {"token": "credential"})
    assert headers.popall("Accept-Encoding") == ["identity"]
    assert headers.popall("token") == ["credential"]
    return list(headers.items())


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Host",
        "TOKEN",
        "Authorization", "Forwarded", "X-Forwarded-For", "x-forwarded-host", "X_Forwarded_For", "X-Real-IP",
        "X-Original-URL", "X-Rewrite-URL", "Sec-WebSocket-Key", "Expect", "Content-Length", "Accept-Encoding",
    ],
)  # fmt: skip
def test_what_speaks_of_one_connection_or_of_who_is_on_it_stays_here(name: str) -> None:
    assert sent((name, "x"), ("X-Own", "y")) == [("X-Own", "y")]


def test_everything_else_goes_as_it_came() -> None:
    given = [("Accept", "a"), ("Cookie", "b=c"), ("X-Own", "1"), ("x-own", "2"), ("Content-Type", "text/plain")]
    assert sent(*given) == given


def test_what_connection_names_is_dropped_but_never_the_credential() -> None:
    assert sent(("Connection", "close, X-Hop , token"), ("X-Hop", "1"), ("token", "mine"), ("X-Own", "y")) == [
        ("X-Own", "y")
    ]


def test_an_encoding_that_was_undone_is_not_told_and_another_is() -> None:
    assert sent(("Content-Encoding", "gzip")) == []
    assert sent(("Content-Encoding", "aes128gcm")) == [("Content-Encoding", "aes128gcm")]


def test_bytes_that_are_no_text_do_not_travel() -> None:
    assert sent(("X-Odd", "\udcff"), ("X-Own", "é")) == [("X-Own", "é")]


def test_of_an_answer_the_limit_and_the_connection_are_ours() -> None:
    given = CIMultiDict(
        [
            ("X-RateLimit-Reset", "1"),
            ("Connection", "X-Hop"),
            ("X-Hop", "2"),
            ("Strict-Transport-Security", "max-age=1"),
            ("Alt-Svc", "h3"),
            ("X-Request-Id", "theirs"),
            ("Content-Type", "image/png"),
            ("X-Told", "the secret"),
        ]
    )
    ours = [("Content-Type", "image/png"), ("X-Told", "the ******")]
    assert list(answer_headers(given, Stars("secret")).items()) == ours
    limited = answer_headers(given, Stars("secret"), with_limit=True)
    assert limited.pop("X-RateLimit-Reset") == "1"
    assert list(limited.items()) == ours


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("", ""),
        ("token=x", ""),
        ("a=1&token=x&b=2", "a=1&b=2"),
        ("%74oken=x&to%6Ben=y&TOKEN=z&token&a=1", "a=1"),
        ("tokens=1&atoken=2&a=token", "tokens=1&atoken=2&a=token"),
        ("a=%2B%20+&&b", "a=%2B%20+&&b"),
        ("a=\udcff\u00e9", "a=%FF%C3%A9"),
    ],
)
def test_a_query_goes_as_it_came_without_the_token(raw: str, kept: str) -> None:
    assert query_without_token(raw) == kept
