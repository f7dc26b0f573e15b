"""Hostile input gets the documented error in the envelope: never a 500, never a stack trace, and nothing is lost."""

import asyncio
import gzip
import http.client
import json
import math
import re
import select
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest
from acceptance.answers import Answer, assert_enveloped, assert_error, assert_quota
from acceptance.caller import CLOCK_S, NOISE_S, Client, jid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from installation import Installation
from multidict import CIMultiDict
from operated import Tenant

INVALID_BODY = "Invalid request body"
MESSAGES_OF_400 = {
    INVALID_BODY,
    "Number is required",
    "State is required. Use 'typing', 'recording', or 'pause'",
    "Invalid state. Use 'typing', 'recording', or 'pause'",
    "Invalid number",
    "Invalid duration. Use an integer from 0 to 60",
}
CANONICAL_JID = re.compile(
    r"\d{1,20}@(s\.whatsapp\.net|lid)|\d[\d-]{0,40}@g\.us|[\w.-]{1,40}@newsletter|status@broadcast", re.ASCII
)
STATES = {"typing", "recording", "pause", "paused"}
NUMBER = "5511987654321"
STALLED_WITHIN_S = 30.0  # a peer that stops in the middle of its request is let go by then

fuzz = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def address(installation: Installation) -> tuple[str, int]:
    parts = urlsplit(installation.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


class Wire:
    """One kept-open connection that sends what it is given, without a client library's manners."""

    def __init__(self, installation: Installation, tenant: Tenant) -> None:
        self.installation = installation
        self.tenant = tenant
        self._connection = http.client.HTTPConnection(*address(installation), timeout=20)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        began = time.monotonic()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, body, told)
            response = self._connection.getresponse()
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()  # the server had closed it after an earlier answer
            self._connection.request(method, path, body, told)
            response = self._connection.getresponse()
        raw = response.read()
        return Answer(response.status, CIMultiDict(response.headers.items()), raw, time.monotonic() - began)

    def command(self, body: bytes, **headers: str) -> Answer:
        path = f"/api/chat/presence/{self.tenant.instance}"
        return self.send("POST", path, body, token=self.tenant.instance_token, **headers)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def wire(installation: Installation, tenant: Tenant) -> Iterator[Wire]:
    connection = Wire(installation, tenant)
    yield connection
    connection.close()


@dataclass(frozen=True)
class Stalled:
    """Connections whose peers fell silent, and when."""

    since: float
    heads: list[socket.socket]
    bodies: list[socket.socket]


@pytest.fixture(scope="module", autouse=True)
def stalled(installation: Installation, tenant: Tenant) -> Iterator[Stalled]:
    """Peers that stop in the middle, there from the first test of this file to the last."""
    head = f"POST /api/chat/presence/{tenant.instance} HTTP/1.1\r\nHost: x\r\ntoken: {tenant.instance_token}\r\n"

    def stop_after(sent: str) -> socket.socket:
        peer = socket.create_connection(address(installation), timeout=10)
        peer.sendall(sent.encode())
        return peer

    opened = Stalled(
        time.monotonic(),
        [stop_after(head) for _ in range(20)],
        [stop_after(f'{head}Content-Length: 60\r\n\r\n{{"number": ') for _ in range(20)],
    )
    yield opened
    for peer in opened.heads + opened.bodies:
        peer.close()


@pytest.fixture(scope="module", autouse=True)
def survivors(installation: Installation, stalled: Stalled) -> Iterator[dict[str, list[int]]]:
    """The processes that ran before the first test of this file: nothing here may end one."""
    before = installation.pids
    yield before
    assert installation.pids == before


def assert_documented(answer: Answer) -> None:
    """A command was understood, or refused with one of the documented messages."""
    assert_enveloped(answer)
    assert_quota(answer)
    if answer.status == 200:
        assert CANONICAL_JID.fullmatch(answer.body["chat_jid"]), answer.body
        assert answer.body["state"] in STATES
        assert 0 <= answer.body["duration"] <= 60
    else:
        assert answer.status == 400
        assert answer.message in MESSAGES_OF_400


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"   \r\n\t ", id="blanks"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b'{"number": "' + NUMBER.encode() + b'", "state": "typing",}', id="trailing comma"),
        pytest.param(b"{'number': '5511987654321', 'state': 'typing'}", id="single quotes"),
        pytest.param(b'{"number": "5511987654321", /* hi */ "state": "typing"}', id="comment"),
        pytest.param(b'{"number": "5511987654321", "state": "typing"} {}', id="two objects"),
        pytest.param(b'{"number": "5511987654321", "state": "typing"}\x00', id="NUL after the end"),
        pytest.param(b"number=5511987654321&state=typing", id="form"),
        pytest.param(b"<number>5511987654321</number>", id="XML"),
        pytest.param(b'"typing"', id="a string"),
        pytest.param(b"true", id="a bool"),
        pytest.param(b"42", id="a number"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": NaN}', id="NaN"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": Infinity}', id="Infinity"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": -Infinity}', id="-Infinity"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "x": NaN}', id="NaN in an unknown field"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": 05}', id="leading zero"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": 0x5}', id="hexadecimal"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": 1e400}', id="beyond any float"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": 0.5}', id="half a second"),
        pytest.param(b'{"number": {"a": 1}, "state": "typing"}', id="number is an object"),
        pytest.param(b'{"number": ["5511987654321"], "state": "typing"}', id="number is a list"),
        pytest.param(b'{"number": "5511987654321", "state": ["typing"]}', id="state is a list"),
        pytest.param(b'{"number": "5511987654321", "state": {"$ne": ""}}', id="state is an operator"),
        pytest.param(b'{"number": true, "state": "typing"}', id="number is a bool"),
        pytest.param(b'{"number": "55119\n87654321", "state": "typing"}', id="raw newline in a string"),
        pytest.param(b'{"number": "5511987654321\x01", "state": "typing"}', id="raw control character in a string"),
        pytest.param(b'{"number": "5511987654321\xff", "state": "typing"}', id="invalid UTF-8"),
        pytest.param(b'{"number": "5511987654321", "x": "\xed\xa0\x80", "state": "typing"}', id="surrogate in UTF-8"),
        pytest.param(b'{"number": "5511987654321", "x": "\xc0\xaf", "state": "typing"}', id="overlong UTF-8"),
        pytest.param('{"number": "5511987654321", "state": "typing"}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"number": "5511987654321", "state": "typing"}'.encode("utf-32"), id="UTF-32"),
        pytest.param(b"[" * 3000, id="opened 3000 lists"),
        pytest.param(b"[" * 1500 + b"]" * 1500, id="1500 lists deep"),
        pytest.param(b'{"a":' * 600 + b"1" + b"}" * 600 + b"}", id="600 objects deep and one too many"),
        pytest.param(b'{"number": ' + b"[" * 1500 + b"]" * 1500 + b', "state": "typing"}', id="a deep number"),
    ],
)
def test_what_is_not_a_json_object_of_the_right_types_is_an_invalid_request_body(wire: Wire, body: bytes) -> None:
    assert_error(wire.command(body), 400, INVALID_BODY)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'{"number": "5511987654321", "state": "pause", "x": ' + b"[" * 1500 + b"]" * 1500 + b"}", id="deep"
        ),
        pytest.param(
            b'{"number": "5511987654321", "state": "typing", "duration": ' + b"9" * 3000 + b"}", id="huge int"
        ),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": -' + b"9" * 3000 + b"}", id="-huge"),
        pytest.param(
            b'{"number": "5511987654321", "state": "pause", "x": ' + b"9" * 3000 + b"}", id="unknown huge int"
        ),
        pytest.param(b'{"number": "5511987654321", "state": "pause", "x": 1e999999999}', id="unknown huge float"),
        pytest.param(b'{"number": "5511987654321", "number": "5511987654322", "state": "pause"}', id="two numbers"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "state": "pause"}', id="two states"),
        pytest.param(b'{"number": null, "state": "pause"}', id="null number"),
        pytest.param(b'{"number": "5511987654321", "state": null}', id="null state"),
        pytest.param(b'{"number": "5511987654321", "state": "pause", "duration": null}', id="null duration"),
        pytest.param(b'{"number": "5511987654321", "state": "typing", "duration": 5.0}', id="five point nought"),
        pytest.param(b'\xef\xbb\xbf{"number": "5511987654321", "state": "pause"}', id="byte order mark"),
        pytest.param(b'{"number": "   ", "state": "pause"}', id="blank number"),
        pytest.param(b'{"number": "5511987654321", "state": " pause "}', id="state between blanks"),
        pytest.param(b'{"number": "\\ud800", "state": "pause"}', id="lone surrogate as number"),
        pytest.param(b'{"number": "5511987654321", "state": "\\udfff"}', id="lone surrogate as state"),
        pytest.param(b'{"number": "5511987654321", "state": "pause", "\\ud800": 1}', id="lone surrogate as a name"),
        pytest.param(b'{"number": "5511987654321", "state": "pause\\u0000"}', id="NUL in the state"),
        pytest.param(b'{"number": "5511987654321\\u0000", "state": "pause"}', id="NUL in the number"),
        pytest.param(b'{"number": "' + b"5" * 3500 + b'", "state": "pause"}', id="a number of 3500 digits"),
        pytest.param(b'{"number": "5511987654321", "state": "' + b"typing" * 500 + b'"}', id="a state of 3000 letters"),
        pytest.param(b'{"__proto__": {"number": "5511987654321"}, "constructor": 1}', id="prototype"),
        pytest.param('{"number": "5511987654321", "state": "typ\u0131ng"}'.encode(), id="dotless i"),
        pytest.param('{"number": "5511987654321", "state": "PA\u017fSE"}'.encode(), id="long s"),
        pytest.param('{"number": "\u202e5511987654321", "state": "pause"}'.encode(), id="right-to-left override"),
        pytest.param('{"number": "5511987654321\u200b", "state": "pause"}'.encode(), id="zero-width space"),
    ],
)
def test_what_the_contract_leaves_open_is_answered_or_refused_in_documented_words(wire: Wire, body: bytes) -> None:
    assert_documented(wire.command(body))


def test_a_state_that_only_looks_right_in_another_alphabet_is_refused(wire: Wire) -> None:
    for state in ("typ\u0131ng", "pau\u017fe", "\uff54yping"):
        body = json.dumps({"number": NUMBER, "state": state}, ensure_ascii=False).encode()
        assert_error(wire.command(body), 400, "Invalid state. Use 'typing', 'recording', or 'pause'")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", b'{"number": "5511987654321", "state": "pause"}', id="not gzip"),
        pytest.param("gzip", gzip.compress(b" " * 5_000_000), id="gzip bomb"),
        pytest.param("deflate", zlib.compress(b" " * 5_000_000), id="deflate bomb"),
        pytest.param("gzip", gzip.compress(b'{"number": "5511987654321"')[:-6], id="gzip cut short"),
        pytest.param("br", b"\x00\xff\x00", id="not brotli"),
        pytest.param("zstd", b"\x28\xb5\x2f\xfd", id="zstd cut short"),
    ],
)
def test_a_hostile_content_encoding_is_refused(wire: Wire, encoding: str, body: bytes) -> None:
    answer = wire.command(body, Content_Encoding=encoding)

    assert answer.status in {400, 413, 415}
    assert_enveloped(answer)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "number": json_values | st.just(NUMBER),
        "state": json_values | st.sampled_from(sorted(STATES)),
        "duration": json_values | st.integers(-2, 70),
    },
)


@fuzz
@given(body=st.binary(max_size=400))
def test_any_bytes_are_answered_in_documented_words(wire: Wire, body: bytes) -> None:
    assert_documented(wire.command(body))


@fuzz
@given(value=near_misses | json_values)
def test_any_json_is_answered_in_documented_words(wire: Wire, value: object) -> None:
    assert_documented(wire.command(json.dumps(value).encode()))


@fuzz
@given(
    number=st.text(max_size=40)
    | st.from_regex(r"\A[+ ().0-9-]{5,24}(:[0-9]{1,3})?(@(s\.whatsapp\.net|c\.us|g\.us|lid|newsletter))?\Z")
)
def test_any_text_as_number_is_a_canonical_chat_or_an_invalid_number(wire: Wire, number: str) -> None:
    answer = wire.command(json.dumps({"number": number, "state": "pause"}).encode())

    assert_documented(answer)
    if answer.status == 400:
        assert answer.message in {"Invalid number", "Number is required", INVALID_BODY}


@fuzz
@given(digits=st.from_regex(r"\A[0-9]{1,20}\Z"))
def test_plain_digits_are_a_chat_exactly_when_there_are_7_to_15(wire: Wire, digits: str) -> None:
    answer = wire.command(json.dumps({"number": digits, "state": "pause"}).encode())

    if 7 <= len(digits) <= 15 and not digits.startswith("0"):
        assert (answer.status, answer.body.get("chat_jid")) == (200, jid(digits))
    elif not 7 <= len(digits) <= 15:
        assert_error(answer, 400, "Invalid number")
    else:
        assert_documented(answer)


@fuzz
@given(state=st.text(min_size=1, max_size=12))
def test_any_text_as_state_is_a_state_or_refused(wire: Wire, state: str) -> None:
    answer = wire.command(json.dumps({"number": NUMBER, "state": state}).encode())

    assert_documented(answer)
    assert (answer.status == 200) == (state.lower() in STATES or answer.body.get("state") in STATES)


@fuzz
@given(duration=st.integers(-(10**20), 10**20) | st.integers(-3, 65))
def test_any_integer_as_duration_is_truncated_to_60_or_refused_as_negative(wire: Wire, duration: int) -> None:
    answer = wire.command(json.dumps({"number": NUMBER, "state": "typing", "duration": duration}).encode())

    if duration < 0:
        assert_error(answer, 400, "Invalid duration. Use an integer from 0 to 60")
    else:
        assert (answer.status, answer.body.get("duration")) == (200, min(duration, 60))


@fuzz
@given(duration=st.floats().filter(lambda value: not (math.isfinite(value) and value == int(value))))
def test_no_float_that_is_not_whole_is_a_duration(wire: Wire, duration: float) -> None:
    body = json.dumps({"number": NUMBER, "state": "typing", "duration": duration}).encode()

    assert_error(wire.command(body), 400, INVALID_BODY)


# Paths, tokens, headers


@pytest.mark.parametrize(
    "segment",
    [
        "%2F",
        "%00",
        "%ff",
        "%C3%28",
        "a%2Fb",
        "..%2f..%2fadmin",
        "%2e%2e",
        "%252F",
        "%0d%0aSet-Cookie:%20x=1",
        "%E2%82%AC",
        "%20",
        "x;y=1",
        "*",
        "$(id)",
        "'%20OR%201=1",
        "{instance}",
        "%7B%7D",
        "a" * 101,
        "a" * 4000,
    ],
)
def test_a_hostile_instance_name_is_an_instance_that_does_not_exist(wire: Wire, tenant: Tenant, segment: str) -> None:
    answer = wire.send("POST", f"/api/chat/presence/{segment}", b"{}", token=tenant.account_token)

    assert_error(answer, 404, "Instance not found")


@pytest.mark.parametrize(
    "path",
    [
        "/api/chat/presence/%",
        "/api/chat/presence/%zz",
        "/api/chat/presence/",
        "/api/chat/presence/a/b",
        "/api/chat/presence/../../admin",
        "/api/chat/../../../etc/passwd",
        "/.git/config",
        "/%",
        "/%00/",
        "/?",
        "//",
        "/\\",
        "/#x",
    ],
)
def test_a_hostile_path_is_not_found(wire: Wire, tenant: Tenant, path: str) -> None:
    answer = wire.send("POST", path, b"{}", token=tenant.account_token)

    assert answer.status in {400, 404}
    assert_enveloped(answer)


@pytest.mark.parametrize("suffix", ["%00", "%20", "%2F", "%0a", "%2F..%2Fx", "%ff", ";x", "."])
def test_a_name_with_something_behind_it_is_another_name(wire: Wire, tenant: Tenant, suffix: str) -> None:
    path = f"/api/chat/presence/{tenant.instance}{suffix}"

    assert_error(wire.send("POST", path, b"{}", token=tenant.account_token), 404, "Instance not found")
    assert_error(
        wire.send("POST", path, b"{}", token=tenant.instance_token),
        403,
        "Instance token does not match the requested instance",
    )


@fuzz
@given(name=st.binary(min_size=1, max_size=60))
def test_any_bytes_as_instance_name_are_an_instance_that_does_not_exist(
    wire: Wire, tenant: Tenant, name: bytes
) -> None:
    answer = wire.send("POST", f"/api/chat/presence/{quote(name, safe='')}", b"{}", token=tenant.account_token)

    assert answer.status == 404
    assert_enveloped(answer)


@pytest.mark.parametrize(
    "query",
    ["token=%ff", "token=%00", "token[]=x", "token=", "token", "TOKEN=x", "token=%", "=&=&&", "token=" + "a" * 5000],
)
async def test_a_hostile_query_is_a_401(guesser: Client, tenant: Tenant, query: str) -> None:
    answer = await guesser.post(f"{tenant.instance}?{query}", b"{}", token=None)

    assert answer.status == 401
    assert_enveloped(answer)


@pytest.mark.parametrize("header", ["token", "Authorization"])
@pytest.mark.parametrize("value", ["", " ", "Bearer", "Bearer ", "Bearer a b", "\xff\xfe", "a,b", "null"])
async def test_a_hostile_token_header_is_a_401(guesser: Client, tenant: Tenant, header: str, value: str) -> None:
    answer = await guesser.post(tenant.instance, b"{}", token=None, headers={header: value})

    assert answer.status == 401
    assert_enveloped(answer)


@fuzz
@given(value=st.binary(max_size=200).map(lambda raw: re.sub(rb"[\x00\r\n]", b"", raw).decode("latin-1")))
def test_any_request_id_is_answered_with_a_sane_one(wire: Wire, value: str) -> None:
    answer = wire.send("GET", "/nothing", X_Request_Id=value)

    assert answer.status in {400, 404}
    assert_enveloped(answer)
    assert re.fullmatch(r"[\w.:@+/=-]{1,200}", answer.headers["X-Request-Id"], re.ASCII)


# Malformed HTTP


def converse(installation: Installation, sent: bytes) -> Answer | None:
    """Send bytes and read one answer; None when the server just hung up."""
    began = time.monotonic()
    with socket.create_connection(address(installation), timeout=15) as peer:
        try:
            peer.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            return None
        response = http.client.HTTPResponse(peer)
        try:
            response.begin()
            raw = response.read()
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            response.close()
        return Answer(response.status, CIMultiDict(response.headers.items()), raw, time.monotonic() - began)


def post_with(*lines: bytes, body: bytes = b"{}") -> bytes:
    return b"\r\n".join((b"POST /api/chat/presence/x HTTP/1.1", b"Host: x", *lines, b"", body))


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        pytest.param(b"HELLO\r\n\r\n", {400}, id="one word"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60 + b"\r\n\r\n", {400}, id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404, 405, 505}, id="HTTP/2 preface"),
        pytest.param(b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505}, id="unknown version"),
        pytest.param(b"GET /health SMTP/1.1\r\nHost: x\r\n\r\n", {400}, id="another protocol"),
        pytest.param(b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", {400}, id="blank in the path"),
        pytest.param(b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}, id="control character in the path"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}, id="bytes in the path"),
        pytest.param(b"G\x00T /health HTTP/1.1\r\nHost: x\r\n\r\n", {400}, id="NUL in the method"),
        pytest.param(b"BREW /nothing HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}, id="unknown method"),
        pytest.param(b"post /nothing HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}, id="lower-case method"),
        pytest.param(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}, id="CONNECT"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}, id="OPTIONS *"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}, id="broken absolute form"),
        pytest.param(b"GET http://example.org:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}, id="impossible port"),
        pytest.param(b"GET //[/nothing HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}, id="broken authority"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: [::1\r\n\r\n", {400, 404}, id="broken Host"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400, 404}, id="two Hosts"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n", {400}, id="header without colon"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", {400}, id="header without name"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: x\r\ntoken : y\r\n\r\n", {400}, id="blank before the colon"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: x\r\ntoken: a\x00b\r\n\r\n", {400}, id="NUL in a header"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nHost: x\r\ntoken: a\r\n b\r\n\r\n", {400, 404}, id="folded header"),
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414}, id="long request line"),
        pytest.param(b"GET /nothing HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", {400, 431}, id="long header"),
        pytest.param(b"GET /nothing HTTP/1.1\r\n" + b"a" * 100_000 + b": x\r\n\r\n", {400, 431}, id="long name"),
        pytest.param(
            b"GET /nothing HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n", {400, 404, 431}, id="many headers"
        ),
        pytest.param(post_with(b"Content-Length: 2", b"Content-Length: 3"), {400}, id="two lengths"),
        pytest.param(post_with(b"Content-Length: -2"), {400}, id="negative length"),
        pytest.param(post_with(b"Content-Length: two"), {400}, id="length in words"),
        pytest.param(post_with(b"Content-Length: +2"), {400}, id="length with a sign"),
        pytest.param(
            post_with(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), {400}, id="both"
        ),
        pytest.param(
            post_with(b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"), {400, 401}, id="bad chunk"
        ),
        pytest.param(post_with(b"Transfer-Encoding: nonsense"), {400, 401, 501}, id="unknown transfer coding"),
        pytest.param(post_with(b"Expect: miracles", b"Content-Length: 2"), {400, 401, 417}, id="unknown expectation"),
        pytest.param(
            post_with(b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 2"), {401}, id="upgrade"
        ),
    ],
)
def test_malformed_http_is_refused_in_the_envelope(installation: Installation, sent: bytes, statuses: set[int]) -> None:
    answer = converse(installation, sent)

    assert answer is not None, "the server hung up without an answer"
    assert answer.status in statuses
    assert_enveloped(answer)


def test_a_chunk_that_breaks_off_behind_a_good_token_is_an_invalid_body(
    installation: Installation, tenant: Tenant
) -> None:
    sent = (
        f"POST /api/chat/presence/{tenant.instance} HTTP/1.1\r\nHost: x\r\ntoken: {tenant.instance_token}\r\n"
        'Transfer-Encoding: chunked\r\n\r\n5\r\n{"num\r\nzz\r\n'
    )
    answer = converse(installation, sent.encode())

    assert answer is not None
    assert_error(answer, 400, INVALID_BODY) if answer.headers.get("X-RateLimit-Limit") else assert_enveloped(answer)
    assert answer.status == 400


@fuzz
@given(noise=st.binary(min_size=1, max_size=200))
def test_any_bytes_instead_of_http_never_become_an_internal_fault(installation: Installation, noise: bytes) -> None:
    answer = converse(installation, noise + b"\r\n\r\n\r\n\r\n")

    if answer is not None:
        assert 400 <= answer.status < 500 or answer.status == 505
        assert_enveloped(answer)


def test_a_smuggled_second_request_is_not_served_with_the_first_ones_token(
    installation: Installation, tenant: Tenant
) -> None:
    inner = b"POST /api/chat/presence/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    first = (
        f"POST /api/chat/presence/{tenant.instance} HTTP/1.1\r\nHost: x\r\ntoken: {tenant.instance_token}\r\n"
        f"Content-Length: 2\r\n\r\n{{}}"
    ).encode()
    with socket.create_connection(address(installation), timeout=10) as peer:
        peer.sendall(first + inner)
        received = b""
        while received.count(b"HTTP/1.1") < 2 and (more := peer.recv(65536)):
            received += more

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"400", b"401"]


# Silent peers


async def test_while_40_peers_are_silent_others_are_served(
    client: Client, tenant: Tenant, number: str, stalled: Stalled
) -> None:
    answers = await asyncio.gather(*(client.show(tenant, number, "pause") for _ in range(10)))

    assert [answer.status for answer in answers] == [200] * 10
    assert max(answer.took_s for answer in answers) < 1.5


async def test_a_body_that_trickles_in_is_not_waited_for_for_ever(client: Client, tenant: Tenant) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b" "
            await asyncio.sleep(0.5)

    began = time.monotonic()
    try:
        answer = await client.request(
            "POST",
            f"/api/chat/presence/{tenant.instance}",
            headers={"token": tenant.instance_token},
            data=trickle(),
        )
    except OSError:
        answer = None  # hung up in the middle of our body: what it said first was lost with the connection

    assert time.monotonic() - began < STALLED_WITHIN_S - 5
    if answer is not None:
        assert answer.status in {400, 408}
        assert_enveloped(answer)


def read_until_closed(peer: socket.socket, deadline: float) -> bytes | None:
    """What the server said before it hung up; None when it did not."""
    received = b""
    while select.select([peer], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            more = peer.recv(65536)
        except ConnectionResetError:
            return received
        if not more:
            return received
        received += more
    return None


def test_peers_that_fell_silent_are_let_go(stalled: Stalled) -> None:
    deadline = stalled.since + STALLED_WITHIN_S
    said_of_bodies = [read_until_closed(peer, deadline) for peer in stalled.bodies]
    said_of_heads = [read_until_closed(peer, deadline + 1) for peer in stalled.heads]

    assert None not in said_of_bodies, "a request whose body never comes is held open"
    assert None not in said_of_heads, "a request whose head never ends is held open"
    for said in said_of_bodies:
        assert said is not None
        assert re.match(rb"HTTP/1\.[01] 4(00|08) ", said), said
        assert b'"success":' in said


# Afterwards


async def test_nothing_was_lost_and_nobody_saw_a_stack_trace(
    client: Client, installation: Installation, tenant: Tenant, number: str
) -> None:
    assert (await client.show(tenant, number, "typing", 1)).status == 200
    shown, paused = await client.wait_for_calls(jid(number), 2, within=1 + NOISE_S + 1)

    assert (shown.state, paused.state) == ("typing", "paused")
    assert paused.at - shown.at >= 1 - CLOCK_S
    assert "Traceback" not in installation.log
