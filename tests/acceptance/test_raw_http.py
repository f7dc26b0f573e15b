"""Bytes on a socket that no client library would send: each gets documented answers, and smuggles nothing past them."""

import json
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from acceptance.answers import Answer, assert_enveloped
from acceptance.caller import Client, jid, new_number
from installation import Installation
from multidict import CIMultiDict
from operated import Tenant

NAME, TOKEN = "raw", secrets.token_hex(16)
SMUGGLED = new_number()
WITHIN_S = 15.0
OK = b'{"number": "", "state": "pause"}'  # understood, and refused: `Number is required`
COMMAND = json.dumps({"number": SMUGGLED, "state": "typing", "duration": 1}).encode()
CANARY = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Probe:
    """What is sent, and the statuses of all that is answered; the last is the canary's where the connection lived."""

    name: str
    sent: bytes
    answered: tuple[int, ...]
    canary: bytes = CANARY


def post(*lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    head = (
        f"POST /api/chat/presence/{NAME} ".encode() + version,
        b"Host: x",
        f"token: {TOKEN}".encode(),
        *lines,
    )
    return b"\r\n".join((*head, b"", body))


def get(target: bytes, *lines: bytes, line: bytes = b"GET %s HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((line.replace(b"%s", target), b"Host: x", *lines, b"", body))


INNER = post(b"Content-Length: %d" % len(COMMAND), body=COMMAND)
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


PROBES = [
    # Two readings of where a body ends
    Probe("CL.TE", post(length(END + INNER), CHUNKED, body=END + INNER), (400,)),
    Probe("TE.CL", post(CHUNKED, b"Content-Length: 4", body=chunk(INNER) + END), (400,)),
    Probe("TE twice", post(CHUNKED, CHUNKED, body=END + INNER), (400,)),
    Probe("TE, then identity", post(b"Transfer-Encoding: chunked, identity", body=END + INNER), (400,)),
    Probe("TE behind identity", post(b"Transfer-Encoding: identity, chunked", body=chunk(OK) + END), (400, 200)),
    Probe("TE, a blank before the colon", post(b"Transfer-Encoding : chunked", length(OK), body=OK), (400,)),
    Probe("TE behind a tab", post(b"Transfer-Encoding:\tchunked", body=chunk(OK) + END), (400, 200)),
    Probe("TE behind a vertical tab", post(b"Transfer-Encoding: \x0bchunked", length(OK), body=OK), (400,)),
    Probe("TE misspelt", post(b"Transfer-Encoding: xchunked", length(OK), body=OK), (400,)),
    Probe("TE folded", post(b"Transfer-Encoding:", b" chunked", length(OK), body=OK), (400,)),
    Probe("TE behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked", length(OK), body=OK), (400,)),
    Probe("TE behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked", length(OK), body=OK), (400,)),
    Probe("TE in HTTP/1.0", post(CHUNKED, body=END + INNER, version=b"HTTP/1.0"), (400,)),
    Probe("a request in the body of a GET", get(b"/health", length(INNER), body=INNER), (200, 200)),
    Probe("a request in the chunks of a GET", get(b"/health", CHUNKED, body=chunk(INNER) + END), (200, 200)),
    Probe("a request in a body that nobody reads", get(b"/nothing", length(INNER), body=INNER), (404, 200)),
    Probe("a request in trailers", post(CHUNKED, body=chunk(OK) + b"0\r\n" + INNER), (400,)),
    # Lengths
    *(
        Probe(f"length {value!r}", post(b"Content-Length: " + value, body=OK), (400,))
        for value in (
            b"2, 2",
            b"2 3",
            b"0x20",
            b"1e1",
            b"3\x00",
            "\uff13".encode(),
            b"-1",
            b"+32",
            b"99999999999999999999",
        )
    ),
    Probe("no length", post(b"Content-Length: ", body=OK), (400,)),
    Probe("leading noughts", post(b"Content-Length: 0000%d" % len(OK), body=OK), (400, 200)),
    Probe("too long", post(b"Content-Length: 5000", body=b" " * 5000), (413, 200)),
    # Chunks
    *(
        Probe(f"chunk of {size!r}", post(CHUNKED, body=size + b"\r\n" + OK + b"\r\n" + END), (400,))
        for size in (b"-20", b"+20", b"0x20", b"zz", b"", b"FFFFFFFFFFFFFFFFF", b"20\x00", b" 20")
    ),
    Probe("a longer chunk than told", post(CHUNKED, body=b"2\r\n" + OK + b"\r\n" + END), (400,)),
    Probe("a chunk that ends in LF", post(CHUNKED, body=b"20\n" + OK + b"\n0\n\n"), (400,)),
    Probe("an extension with LF", post(CHUNKED, body=b"20;a\nb\r\n" + OK + b"\r\n" + END), (400,)),
    Probe("a long extension", post(CHUNKED, body=b"20;" + b"a" * 20_000 + b"\r\n" + OK + b"\r\n" + END), (400, 200)),
    Probe("a token in trailers", post(CHUNKED, body=chunk(OK) + b"0\r\ntoken: x\r\n\r\n"), (400, 200)),
    Probe("many small chunks", post(CHUNKED, body=b"".join(chunk(b" ") for _ in range(5000)) + END), (413, 200)),
    # Request lines
    Probe("an empty line first", b"\r\n" + get(b"/health"), (200, 200)),
    Probe("a blank first", b" " + get(b"/health"), (400,)),
    Probe("tabs between", get(b"/health", line=b"GET\t%s\tHTTP/1.1"), (400,)),
    Probe("two blanks between", get(b"/health", line=b"GET  %s  HTTP/1.1"), (200, 200)),
    Probe("in lower case", get(b"/health", line=b"GET %s http/1.1"), (400,)),
    Probe("a blank behind", get(b"/health", line=b"GET %s HTTP/1.1 "), (400,)),
    Probe("HTTP/0.9", b"GET /health\r\n\r\n", (400,)),
    Probe("HTTP/1.0", get(b"/health", line=b"GET %s HTTP/1.0"), (200,), canary=b""),
    Probe("HTTP/1.0 with more behind", get(b"/health", line=b"GET %s HTTP/1.0"), (400,)),
    Probe("HTTP/1.2", get(b"/health", line=b"GET %s HTTP/1.2"), (400,)),
    Probe("HTTP/2.0", get(b"/health", line=b"GET %s HTTP/2.0"), (400,)),
    Probe("no host", b"GET /health HTTP/1.1\r\n\r\n", (400,)),
    Probe("the absolute form", get(b"http://x/health"), (200, 200)),
    Probe("the absolute form of somebody else", get(b"http://169.254.169.254/health"), (200, 200)),
    Probe("another scheme", get(b"file:///etc/passwd"), (400,)),
    Probe("an authority", get(b"example.org:443"), (400,)),
    Probe("a fragment", get(b"/health#x"), (200, 200)),
    Probe("dot segments", get(b"/api/../health"), (404, 200)),
    Probe("two slashes", get(b"//health"), (404, 200)),
    Probe("an encoded slash", get(b"/%2fhealth"), (404, 200)),
    Probe("a parameter", get(b"/health;x=y"), (404, 200)),
    Probe("NUL in the path", get(b"/health%00"), (404, 200)),
    Probe("half an escape", get(b"/health%2"), (404, 200)),
    Probe("an unknown method", get(b"/health", line=b"PROPFIND %s HTTP/1.1"), (405, 200)),
    Probe("a method of our own making", get(b"/health", line=b"GET:X %s HTTP/1.1"), (400,)),
    # Heads
    Probe("a blank before the first header", b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n", (400,)),
    Probe("a blank in a name", get(b"/health", b"a b: c"), (400,)),
    Probe("brackets in a name", get(b"/health", b"a(b): c"), (400,)),
    Probe("a name that is not ASCII", get(b"/health", "\xe4: c".encode()), (400,)),
    Probe("CR in a value", get(b"/health", b"a: b\rc"), (400,)),
    Probe("any bytes in a value", get(b"/health", b"a: \xff\xfe"), (200, 200)),
    Probe("200 headers", get(b"/health", *(b"X-%d: y" % n for n in range(200))), (400,)),
    Probe("a long value", get(b"/health", b"X: " + b"a" * 9000), (400,)),
    Probe("a long line", get(b"/health?" + b"a" * 9000), (400,)),
    # What a proxy in front might obey, and we must not
    Probe("another method on top", get(b"/health", b"X-HTTP-Method-Override: DELETE"), (200, 200)),
    Probe("another path on top", get(b"/nothing", b"X-Original-URL: /health", b"X-Rewrite-URL: /health"), (404, 200)),
    Probe("the token is hop by hop", post(b"Connection: token", length(OK), body=OK), (400, 200)),
    Probe("HTTP/2 in clear", get(b"/health", b"Connection: Upgrade, close", b"Upgrade: h2c"), (200,)),
    Probe("an expectation", post(b"Expect: 100-continue", length(OK), body=OK), (100, 400, 200)),
    Probe("an expectation of a stranger", get(b"/api/instance/list", b"Expect: 100-continue"), (100, 401, 200)),
    Probe("a range", get(b"/health", b"Range: bytes=0-1"), (200, 200)),
    # One behind the other
    Probe("three at once", get(b"/health") * 3, (200, 200, 200, 200)),
    Probe("nonsense in the middle", get(b"/health") + b"\x00\r\n\r\n" + INNER, (400,)),
    Probe("behind the last", get(b"/health", b"Connection: close") + INNER, (400,)),
    Probe("an empty line behind the last", get(b"/health", b"Connection: close") + b"\r\n", (200,), canary=b""),
    Probe("without a token behind one with", post(length(OK), body=OK) + get(b"/api/instance/list"), (400, 401, 200)),
]


def answers(received: bytes) -> Iterator[Answer]:
    """Cut what came into answers: each has its length, but for those without a body."""
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.[01] (\d{3}) .*\r\n", head + b"\r\n")
        assert line, received
        assert end
        status = int(line[1])
        headers = CIMultiDict(
            (name.decode(), value.decode().strip())
            for name, _, value in (one.partition(b":") for one in head.split(b"\r\n")[1:])
        )
        size = 0 if status == 100 else int(headers["Content-Length"])
        yield Answer(status, headers, rest[:size], 0.0)
        received = rest[size:]


def exchange(url: str, sent: bytes) -> bytes:
    """Send all of it, and read until the server hangs up."""
    parts = urlsplit(url)
    received = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=WITHIN_S) as peer:
        peer.sendall(sent)
        try:
            while more := peer.recv(65536):
                received += more
        except ConnectionResetError:
            pass  # what it had not read is lost with the connection; its answer has come
    return received


@pytest.fixture(scope="module")
def tenant(installation: Installation) -> Tenant:
    """One whose token has a length that the probes can count."""
    return installation.create_tenant(token=TOKEN, instance=NAME)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_any_bytes_get_documented_answers(installation: Installation, tenant: Tenant, probe: Probe) -> None:
    answered = list(answers(exchange(installation.url, probe.sent + probe.canary)))

    assert tuple(answer.status for answer in answered) == probe.answered
    for answer in answered:
        if answer.status != 100:
            assert_enveloped(answer)


async def test_no_probe_smuggled_a_command_and_nobody_saw_a_stack_trace(
    client: Client, installation: Installation, tenant: Tenant
) -> None:
    number = new_number()
    assert (await client.show(tenant, number, "pause")).status == 200
    await client.wait_for_calls(jid(number), 1, within=5)

    assert await client.calls_for(jid(SMUGGLED)) == []
    assert "Traceback" not in installation.log
