"""What a real nginx does with the configurations under deploy/nginx, and that no token is ever in its logs."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from nginx import binaries, make_certificate, rewritten, running_nginx, wait_until_open
from rig import LOOPBACK

from gateway.commands.dev.ports import free_port
from gateway.settings import Settings

CONFS = ("presence.conf", "compose.conf")
COMPRESSED_S = "1s"
"""What the waits of the configurations become, so that running into them takes a second each."""
PATIENT_S = "3s"
"""The same where somebody has to be answered in time, however busy the machine is."""


@dataclass(frozen=True)
class Front:
    """A configuration of deploy/nginx on ports of a test's."""

    conf: str
    before: int
    behind: int

    @property
    def is_tls(self) -> bool:
        return self.conf == "presence.conf"

    def text(self, folder: Path, *, waits: str | None = None) -> str:
        """Write it with only its addresses and files changed, and its waits where they are given."""
        changes = {"presence.conf": self._presence, "compose.conf": self._compose}[self.conf](folder)
        text = rewritten(self.conf, changes)
        return re.sub(r"(proxy_read|client_body)_timeout \w+;", rf"\1_timeout {waits};", text) if waits else text

    def _presence(self, folder: Path) -> dict[str, str]:
        make_certificate(folder)
        return {
            "127.0.0.1:8080": f"{LOOPBACK}:{self.behind}",
            "listen 443 ssl": f"listen {LOOPBACK}:{self.before} ssl",
            "/etc/ssl/presence": str(folder),
            "/var/log/nginx": f"{folder}/logs",
        }

    def _compose(self, folder: Path) -> dict[str, str]:
        """Without Docker's resolver, which test_deploy_compose.py has."""
        return {
            "    resolver 127.0.0.11 valid=2s;\n": "",
            "gateway:8080 resolve": f"{LOOPBACK}:{self.behind}",
            "listen 8080": f"listen {LOOPBACK}:{self.before}",
            "/dev/stdout": f"{folder}/logs/presence.log",
        }


def insecure() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def front(conf: str) -> Front:
    before, behind = (free_port() for _ in range(2))
    return Front(conf, before, behind)


@pytest.mark.parametrize("nginx", binaries())
async def test_nginx_hands_the_api_on_names_the_client_itself_and_hides_everything_else(
    nginx: str, tmp_path: Path
) -> None:
    at = front("presence.conf")
    seen: list[list[str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.getall("X-Forwarded-For"))
        return web.json_response({"success": True})

    with running_nginx(binaries()[nginx], tmp_path, at.text(tmp_path)):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, at.behind).start()
        await wait_until_open(at.before)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=insecure())) as session:
            forged = {"X-Forwarded-For": "6.6.6.6"}
            for path, status in {"/api/chat/presence/x": 200, "/health": 200, "/metrics": 404, "/": 404}.items():
                async with session.get(f"https://{LOOPBACK}:{at.before}{path}", headers=forged) as response:
                    assert response.status == status, path
                    assert (await response.json())["success"] is (status == 200)
        await runner.cleanup()
    assert seen == [[LOOPBACK]] * 2


@pytest.mark.parametrize("nginx", binaries())
@pytest.mark.parametrize("conf", CONFS)
async def test_a_webhook_may_be_as_long_as_the_gateway_takes_and_a_command_may_not(
    conf: str, nginx: str, tmp_path: Path
) -> None:
    at = front(conf)
    event = Settings().http.max_event_bytes
    arrived: list[tuple[str, int, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        arrived.append((request.path, len(body), request.headers.get("X-Forwarded-For")))
        return web.json_response({"success": True})

    with running_nginx(binaries()[nginx], tmp_path, at.text(tmp_path)):
        app = web.Application(client_max_size=10 * event)
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, at.behind).start()
        await wait_until_open(at.before)
        url = f"http{'s' if at.is_tls else ''}://{LOOPBACK}:{at.before}/api"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=insecure())) as session:
            for path, length, status in (
                ("/events/presence/x", event, 200),
                ("/events/presence/x", 3 * event, 413),
                ("/chat/presence/x", 9_000, 413),
            ):
                async with session.post(url + path, data=BytesIO(b"x" * length)) as response:
                    assert response.status == status, path
        await runner.cleanup()
    assert arrived == [("/api/events/presence/x", event, LOOPBACK)]


@pytest.mark.parametrize("conf", CONFS)
async def test_nginx_lets_media_and_websockets_pass_as_they_come_and_keeps_presences_short(
    conf: str, tmp_path: Path
) -> None:
    at, arrived = front(conf), asyncio.Event()

    async def message(request: web.Request) -> web.Response:
        await request.content.readany()
        arrived.set()
        return web.json_response({"read": len(await request.content.read())})

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    async def media() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        # The rest leaves once the gateway has read of it.
        await asyncio.wait_for(arrived.wait(), 5)
        yield b"x" * 1_000_000

    with running_nginx(next(iter(binaries().values())), tmp_path, at.text(tmp_path)):
        app = web.Application()
        app.router.add_post("/api/{tail:.*}", message)
        app.router.add_get("/ws/shop", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, at.behind).start()
        await wait_until_open(at.before)
        url = f"{'https' if at.is_tls else 'http'}://{LOOPBACK}:{at.before}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=insecure())) as session:
            async with session.post(f"{url}/api/message/media/shop", data=media()) as response:
                assert response.status == 200
            async with session.ws_connect(f"{url}/ws/shop?token=t") as socket:
                await socket.send_str("hello")
                assert await socket.receive_str(timeout=5) == "hello"
            async with session.post(f"{url}/api/chat/presence/shop", data=b"x" * 20_000) as response:
                assert response.status == 413
        await runner.cleanup()


# Every way in which nginx, the gateway or the client can fail. `@` is where the token goes; a client hangs up at a `|`.
GET = "GET /api/chat/presence/{}?token=@ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = "POST /api/chat/presence/{}?token=@ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}\r\n\r\n{}"
LINE = "{} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

ANSWERED = {
    "answered": GET.format("x"),
    "a referrer of the client's": GET.format("x").replace("Host: h", "Host: h\r\nReferer: http://h/?token=@"),
    "no such route": LINE.format("GET /nothing?token=@"),
    "a question mark that was encoded": LINE.format("GET /api/chat/presence/x%3Ftoken=@"),
    "a body that does not come": POST.format("x", "Content-Length: 10", ""),
    "a whole URL": LINE.format("GET http://h/api/chat/presence/x?token=@"),
}
"""What nginx writes no line of its own about, so that only an access log could hold it."""

FAILED = {
    "the gateway resets": GET.format("reset"),
    "the gateway closes": GET.format("close"),
    "the gateway hangs": GET.format("hang"),
    "the gateway talks nonsense": GET.format("nonsense"),
    "the gateway's head is too long": GET.format("long"),
    "the gateway stops in mid-answer": GET.format("half"),
    "a body that is too long": POST.format("x", "Content-Length: 99999", ""),
    "a body in chunks that is too long": POST.format("x", "Transfer-Encoding: chunked", "4000\r\n" + "x" * 16384),
    "a client that leaves in mid-body": POST.format("x", "Content-Length: 10", "12345") + "|",
    "a client that leaves before the answer": GET.format("hang") + "|",
    "a length that is no number": POST.format("x", "Content-Length: abc", ""),
    "two lengths": POST.format("x", "Content-Length: 1\r\nContent-Length: 2", "xx"),
    "an unknown transfer encoding": POST.format("x", "Transfer-Encoding: rot13", ""),
    "no host": LINE.format("GET /api/chat/presence/x?token=@").replace("Host: h\r\n", ""),
    "two hosts": LINE.format("GET /api/chat/presence/x?token=@").replace("Host: h", "Host: h\r\nHost: g"),
    "a host that is none": LINE.format("GET /api/chat/presence/x?token=@").replace("Host: h", "Host: h/?"),
    "a header that is none": LINE.format("GET /api/chat/presence/x?token=@").replace("Host: h", "Host: h\r\nx y: z"),
    "a header that is too long": LINE.format("GET /api/chat/presence/x?token=@").replace(
        "Host: h", "X: " + "x" * 40000
    ),
    "a line that is too long": LINE.format("GET /api/chat/presence/x?token=@" + "x" * 40000),
    "an unknown version": LINE.format("GET /api/chat/presence/x?token=@").replace("HTTP/1.1", "HTTP/9.9"),
    "words after the version": LINE.format("GET /api/chat/presence/x?token=@").replace("HTTP/1.1", "HTTP/1.1 x"),
    "a method in small letters": LINE.format("get /api/chat/presence/x?token=@"),
    "a path that begins nowhere": LINE.format("GET api/chat/presence/x?token=@"),
    "a path that leaves the root": LINE.format("GET /../x?token=@"),
    "a percent sign that stands for nothing": LINE.format("GET /api/%zz?token=@"),
    "a NUL in the path": LINE.format("GET /api/%00?token=@"),
    "a control character": LINE.format("GET /api/\x01?token=@"),
    "the method TRACE": LINE.format("TRACE /api/chat/presence/x?token=@"),
    "the method CONNECT": LINE.format("CONNECT /api/chat/presence/x?token=@"),
}
"""What nginx itself logs as an error, and quotes."""


async def stand_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A gateway that fails as the path asks."""
    with suppress(asyncio.IncompleteReadError):
        await fail(reader, writer)
    writer.close()


async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    how = head.split()[1].partition("?")[0].rpartition("/")[2]
    answers = {
        "nonsense": b"nonsense\r\n\r\n",
        "long": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65536 + b"\r\n\r\n",
        "half": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        "x": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    }
    with suppress(OSError):
        if how == "hang":
            await reader.read()
        elif how == "reset":
            writer.transport.abort()
        writer.write(answers.get(how, b""))
        await writer.drain()


@asynccontextmanager
async def standing_in(port: int) -> AsyncIterator[None]:
    server = await asyncio.start_server(stand_in, LOOPBACK, port)
    yield
    server.close()


async def send(at: Front, text: str, *, tls: bool) -> None:
    """Send these bytes and read whatever is answered, or hang up where the text says so."""
    sent, hangs_up, _ = text.partition("|")
    reader, writer = await asyncio.open_connection(LOOPBACK, at.before, ssl=insecure() if tls else None)
    with suppress(OSError):
        writer.write(sent.encode())
        await writer.drain()
        if not hangs_up:
            async with asyncio.timeout(30):
                await reader.read()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


def token_of(case: str) -> str:
    return "secret-" + re.sub(r"\W", "-", case)


async def fail_in_every_way(at: Front) -> None:
    """Send all of it at once, then once more to a gateway that is away."""
    cases = {**ANSWERED, **FAILED}
    await wait_until_open(at.before)
    async with standing_in(at.behind):
        sending = [send(at, text.replace("@", token_of(case)), tls=at.is_tls) for case, text in cases.items()]
        await asyncio.gather(*sending)
        if at.is_tls:
            await send(at, GET.format("x").replace("@", token_of("no TLS")), tls=False)
    away = GET.format("x").replace("@", token_of("the gateway is away"))
    await send(at, away, tls=at.is_tls)


def logs_of_failures(at: Front, nginx: str, folder: Path, conf: str) -> Path:
    """The logs that are left of all of it."""
    with running_nginx(binaries()[nginx], folder, conf) as logs:
        asyncio.run(fail_in_every_way(at))
    return logs


@pytest.mark.parametrize("nginx", binaries())
@pytest.mark.parametrize("conf", CONFS)
def test_whatever_fails_the_access_log_says_why_and_no_log_has_a_token(conf: str, nginx: str, tmp_path: Path) -> None:
    at = front(conf)
    logs = logs_of_failures(at, nginx, tmp_path, at.text(tmp_path, waits=PATIENT_S))
    written = {file.name: file.read_text(errors="replace") for file in logs.iterdir()}
    leaks = {(name, leak) for name, text in written.items() for leak in re.findall(r"secret-[\w-]+", text)}
    assert leaks == set()
    lines = written["presence.log"]
    for path, of_nginx, of_gateway in (("x", 200, "200"), ("reset", 502, "502"), ("hang", 504, "504")):
        assert re.search(rf"^{LOOPBACK} GET /api/chat/presence/{path} {of_nginx} .* {of_gateway} ", lines, re.MULTILINE)
    assert re.search(r"POST /api/chat/presence/x 413 .* - ", lines)


@pytest.mark.parametrize("nginx", binaries())
@pytest.mark.parametrize("conf", CONFS)
def test_nginx_by_itself_would_log_the_token_each_time(conf: str, nginx: str, tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    at = front(conf)
    careless = re.sub(r"^ *(error|access)_log .*;\n", "", at.text(tmp_path, waits=COMPRESSED_S), flags=re.MULTILINE)
    logs = logs_of_failures(at, nginx, tmp_path, careless)
    errors, accesses = ((logs / name).read_text(errors="replace") for name in ("error.log", "access.log"))
    failed = [*FAILED, "the gateway is away", *(["no TLS"] if at.is_tls else [])]
    assert [case for case in failed if token_of(case) not in errors] == []
    assert [case for case in ANSWERED if token_of(case) not in accesses] == []
