"""A whole installation as its users meet it: one command, its ready file, its HTTP doors, its operator, its sandbox."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import pytest
import requests
from yarl import URL

from gateway.settings import Fast

ROOT = Path(__file__).resolve().parents[2]

NOISE_S = 1.5  # what two busy cores may add to any lateness
CLOCK_S = 0.005  # two reads of a clock are never one instant
POLL_S = 0.05
UPSTREAM_TIMEOUT_S = 4.5
REFRESH_S = 4.0
START_WITHIN_S = 45.0
STOP_WITHIN_S = 20.0
PLENTY = 100_000  # requests a minute: a limit that no test meets by accident

NUMBERS_BEGIN = "55119"  # every number of these tests, so that a log can be searched for all of them

QUOTA_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

T = TypeVar("T")


@dataclass(frozen=True)
class Tenant:
    """An account of the operator's making, with one instance."""

    account: str
    account_token: str
    instance: str
    instance_token: str


@dataclass(frozen=True)
class Call:
    """One thing that the sandbox was told and applied."""

    n: int
    at: float
    instance: str
    chat: str
    state: str


@dataclass(frozen=True)
class Answer:
    """What the gateway said, to the byte."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    took_s: float

    @property
    def body(self) -> dict[str, Any]:
        parsed = json.loads(self.raw)
        assert isinstance(parsed, dict), self.raw
        return parsed

    @property
    def message(self) -> str:
        error = self.body.get("error")
        assert isinstance(error, dict), self.raw
        return str(error["message"])

    @property
    def remaining(self) -> int:
        return int(self.headers["X-RateLimit-Remaining"])

    @property
    def reset(self) -> int:
        return int(self.headers["X-RateLimit-Reset"])


def assert_enveloped(answer: Answer) -> None:
    """1. Envelope: JSON that begins with `success`; an error holds its message and nothing else."""
    assert answer.headers["Content-Type"].split(";")[0].strip() == "application/json"
    assert answer.headers.get("X-Request-Id"), "every answer names its request"
    body = answer.body
    assert next(iter(body)) == "success"
    if answer.status < 400:
        assert body["success"] is True
        return
    assert body == {"success": False, "error": {"message": body["error"]["message"]}}
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
    assert b"Traceback" not in answer.raw


def assert_error(answer: Answer, status: int, message: str) -> None:
    assert_enveloped(answer)
    assert (answer.status, answer.message) == (status, message)


def assert_quota(answer: Answer, limit: int | None = None) -> None:
    """3. Rate limit: the three headers, whole numbers, and a Reset that is near."""
    told = {name: answer.headers.get(name) for name in QUOTA_HEADERS}
    assert all(value is not None and value.isdigit() for value in told.values()), told
    if limit is not None:
        assert int(answer.headers["X-RateLimit-Limit"]) == limit
    assert 0 <= answer.remaining <= int(answer.headers["X-RateLimit-Limit"])
    assert time.time() - 2 <= answer.reset <= time.time() + 62


def jid(number: str) -> str:
    return f"{number}@s.whatsapp.net"


def new_number() -> str:
    """A phone number that no other test uses, and that no log line may hold."""
    return f"{NUMBERS_BEGIN}{secrets.randbelow(10**8):08}"


async def eventually(probe: Callable[[], Awaitable[T | None]], *, within: float, what: str) -> T:
    """Ask until there is an answer; fail with a sentence when the time is up."""
    deadline = time.monotonic() + within
    while (found := await probe()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:.1f} s: {what}")
        await asyncio.sleep(POLL_S)
    return found


def is_alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def outside_environment() -> dict[str, str]:
    """The caller's environment without settings of its own; `make test-plain` switches every fast way off."""
    plain = {f"PRESENCE_FAST__{way.name}".upper(): "false" for way in msgspec.structs.fields(Fast)}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    return outside | (plain if os.environ.get("PLAIN_WAYS") else {})


def dev_command(data: Path, ready_file: Path, port: str = "0") -> list[str]:
    """The one command that starts everything."""
    options = ["--port", port, "--admin-port", "0", "--data", str(data), "--ready-file", str(ready_file)]
    return [sys.executable, "-m", "gateway", "dev", *options]


@dataclass
class Installation:
    """Everything that `gateway dev` starts, and what it says of itself in the ready file."""

    folder: Path
    secrets: set[str] = field(default_factory=set)  # everything that no log may hold
    demo: set[str] = field(default_factory=set)  # those of them that the banner and the ready file show
    _process: "subprocess.Popen[bytes] | None" = None
    _sandbox_names: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def ready_file(self) -> Path:
        return self.folder / "ready.json"

    @property
    def log(self) -> str:
        """What the installation printed since the first start, standard error included."""
        return (self.folder / "dev.log").read_text(errors="replace")

    @property
    def ready(self) -> dict[str, Any]:
        parsed = json.loads(self.ready_file.read_text())
        assert isinstance(parsed, dict)
        return parsed

    @property
    def url(self) -> str:
        return str(self.ready["url"]).rstrip("/")

    @property
    def sandbox_url(self) -> str:
        return str(self.ready["sandbox_url"]).rstrip("/")

    @property
    def pids(self) -> dict[str, list[int]]:
        told = self.ready["pids"]
        return {"gateway": list(told["gateway"]), "worker": list(told["worker"]), "redis": [int(told["redis"])]}

    @property
    def every_pid(self) -> list[int]:
        return [pid for pids in self.pids.values() for pid in pids]

    @property
    def runner_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return outside_environment() | {str(name): str(value) for name, value in self.ready["env"].items()}

    def start(self) -> None:
        """Start everything and return when it serves."""
        assert self._process is None
        self.ready_file.unlink(missing_ok=True)
        with (self.folder / "dev.log").open("ab") as log:
            self._process = subprocess.Popen(
                dev_command(self.data, self.ready_file),
                cwd=ROOT,
                env=outside_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self.ready_file.exists():
            code = self._process.poll()
            assert code is None, f"gateway dev ended with {code}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"gateway dev does not serve:\n{self.log[-3000:]}"
            time.sleep(POLL_S)
        ready = self.ready
        self.demo = {str(ready[name]) for name in ("account_token", "instance_token", "admin_key")}
        self.secrets |= self.demo

    def stop(self, how: signal.Signals = signal.SIGTERM, *, whole_group: bool = False) -> int:
        """End everything the polite way and return the exit code."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            (os.killpg if whole_group else os.kill)(process.pid, how)
        try:
            return process.wait(STOP_WITHIN_S)
        finally:
            self._process = None if process.poll() is not None else process

    def kill_runner(self) -> None:
        """Kill the process that watches the others, and only it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Leave no process behind, however the tests ended."""
        owned = self.every_pid if self.ready_file.exists() else []
        if self._process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill_runner()
        for pid in owned:
            if is_alive(pid) and self.owns(pid):
                os.kill(pid, signal.SIGKILL)

    def owns(self, pid: int) -> bool:
        """Does the process name this installation's folder in its command or environment?"""
        try:
            said = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except (OSError, ProcessLookupError):
            return False
        return os.fsencode(self.folder) in said

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one of the operator's commands and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "--json"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        parsed = json.loads(done.stdout)
        assert isinstance(parsed, dict)
        return parsed

    def create_account(self, *, per_minute: int | None = PLENTY) -> tuple[str, str]:
        """Make an account; its name and its first token."""
        name = f"account-{secrets.token_hex(4)}"
        limit = () if per_minute is None else ("--per-minute", str(per_minute))
        token = str(self.command("account", "create", name, *limit)["token"])
        self.secrets.add(token)
        return name, token

    def create_instance(self, account: str, *options: str, name: str | None = None) -> tuple[str, str]:
        """Make an instance; its name and its token."""
        name = name or f"instance-{secrets.token_hex(4)}"
        token = str(self.command("instance", "create", account, name, *options)["token"])
        self.secrets.add(token)
        return name, token

    def create_tenant(self, *options: str, per_minute: int | None = PLENTY, instance: str | None = None) -> Tenant:
        account, account_token = self.create_account(per_minute=per_minute)
        name, instance_token = self.create_instance(account, *options, name=instance)
        return Tenant(account, account_token, name, instance_token)

    def create_tenants(self, count: int) -> list[Tenant]:
        """Several instances of one new account."""
        account, account_token = self.create_account()
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(lambda _: self.create_instance(account), range(count)))
        return [Tenant(account, account_token, name, token) for name, token in made]

    def issue_token(self, account: str) -> tuple[str, str]:
        """Issue one more account token, with a fresh quota; its id and itself."""
        issued = self.command("token", "issue", account)
        self.secrets.add(str(issued["token"]))
        return str(issued["id"]), str(issued["token"])


class Client:
    """A caller of the gateway who can also look at the sandbox's phone."""

    def __init__(self, installation: Installation, *, source: str | None = None) -> None:
        self.installation = installation
        self._source = (source, 0) if source else None
        self._calls: dict[int, Call] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, local_addr=self._source)
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """Send exactly this path and these bytes; redirects are not followed."""
        target = URL(self.installation.url + path, encoded=True)
        began = time.monotonic()
        async with self._http.request(method, target, headers=headers, data=data, allow_redirects=False) as response:
            raw = await response.read()
            return Answer(response.status, response.headers.copy(), raw, time.monotonic() - began)

    async def post(
        self, instance: str, body: object, *, token: str | None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Call the one endpoint; `body` is sent as JSON, or as it is when it is bytes."""
        return await self.request(
            "POST",
            f"/api/chat/presence/{instance}",
            headers=({"token": token} if token is not None else {}) | dict(headers or {}),
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )

    async def show(self, tenant: Tenant, number: str, state: str, duration: int | None = None) -> Answer:
        """Send a well-formed command as the tenant."""
        body: dict[str, object] = {"number": number, "state": state}
        if duration is not None:
            body["duration"] = duration
        return await self.post(tenant.instance, body, token=tenant.instance_token)

    async def report_message(self, tenant: Tenant, number: str) -> Answer:
        """Say, as the tenant's upstream does, that a message to this number was sent."""
        event = {"event": "message", "from_me": True, "chat": jid(number), "timestamp": time.time()}
        path = f"/api/events/presence/{tenant.instance}?token={tenant.instance_token}"
        return await self.request("POST", path, data=json.dumps(event).encode())

    async def stays_paused(self, chat: str, *, for_s: float = REFRESH_S + 1.0) -> bool:
        """Whether a chat that was paused is told nothing but pauses for longer than from one refresh to the next."""
        before = len(await self.calls_for(chat))
        await asyncio.sleep(for_s)
        return {call.state for call in (await self.calls_for(chat))[before - 1 :]} == {"paused"}

    async def calls(self) -> list[Call]:
        """Everything that the sandbox has applied, in its order."""
        since = max(self._calls, default=0)
        async with self._http.get(f"{self.installation.sandbox_url}/calls", params={"since": since}) as response:
            assert response.status == 200, await response.text()
            for told in (await response.json())["calls"]:
                call = Call(
                    int(told["n"]), float(told["at"]), str(told["instance"]), str(told["chat"]), str(told["state"])
                )
                self._calls[call.n] = call
        return [self._calls[n] for n in sorted(self._calls)]

    async def calls_for(self, chat: str, *, instance: str | None = None) -> list[Call]:
        """What was applied to a chat (a canonical JID), on every instance or on one of the sandbox's."""
        return [
            call for call in await self.calls() if call.chat == chat and (instance is None or call.instance == instance)
        ]

    async def wait_for_calls(self, chat: str, count: int, *, within: float, instance: str | None = None) -> list[Call]:
        """Wait until so many calls were applied to the chat, and return all of them."""

        async def enough() -> list[Call] | None:
            calls = await self.calls_for(chat, instance=instance)
            return calls if len(calls) >= count else None

        return await eventually(enough, within=within, what=f"{count} calls for the chat")

    async def wait_for_pause(self, chat: str, *, within: float) -> Call:
        """Wait until the chat's newest call is a pause, and return it."""

        async def paused() -> Call | None:
            calls = await self.calls_for(chat)
            return calls[-1] if calls and calls[-1].state == "paused" else None

        return await eventually(paused, within=within, what="a pause for the chat")

    async def sandbox_name(self, tenant: Tenant) -> str:
        """The name by which the sandbox knows a tenant's instance, learned by sending something through it."""
        known = self.installation._sandbox_names
        if tenant.instance_token not in known:
            number = new_number()
            answer = await self.show(tenant, number, "pause")
            assert answer.status == 200, answer.raw
            known[tenant.instance_token] = (await self.wait_for_calls(jid(number), 1, within=5))[0].instance
        return known[tenant.instance_token]

    async def fault(self, tenant: Tenant, kind: str, **details: object) -> None:
        """Let the sandbox fail for one tenant's instance."""
        order = {"instance": await self.sandbox_name(tenant), "fault": kind, **details}
        async with self._http.post(f"{self.installation.sandbox_url}/faults", json=order) as response:
            assert response.status < 300, await response.text()

    async def metrics(self) -> str:
        """What the operator's port tells Prometheus."""
        return await self.operators("/metrics")

    async def operators(self, path: str) -> str:
        """What the operator reads at a path of their port."""
        ready = self.installation.ready
        headers = {"Authorization": f"Bearer {ready['admin_key']}"}
        async with self._http.get(f"{str(ready['admin_url']).rstrip('/')}{path}", headers=headers) as response:
            assert response.status == 200
            return await response.text()

    async def wait_until_served(self, *, within: float = 15.0) -> None:
        """Wait until the gateway answers again."""

        async def served() -> bool | None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, FileNotFoundError):
                return (await self.request("GET", "/health")).status == 200 or None
            return None

        await eventually(served, within=within, what="the gateway answers /health")


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One running installation that all tests share; tests that kill have their own."""
    house = Installation(tmp_path_factory.mktemp("shared"))
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="session")
def tenant(installation: Installation) -> Tenant:
    return installation.create_tenant()


@pytest.fixture(scope="session")
def stranger(installation: Installation) -> Tenant:
    """Another account: what is its, is none of the tenant's business."""
    return installation.create_tenant()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Client]:
    async with Client(installation) as caller:
        yield caller


@pytest.fixture
async def guesser(installation: Installation) -> AsyncIterator[Client]:
    """A caller at an address of its own, for what is limited by address."""
    low = secrets.randbelow(250) + 2
    async with Client(installation, source=f"127.77.{secrets.randbelow(250)}.{low}") as caller:
        yield caller


@pytest.fixture
def number() -> str:
    return new_number()


# One token, eight processes, three gateways: this takes a minute of waiting, so it begins with the first test of all.

CALLERS = 8
VOLLEY = 25  # requests of each caller at once: twice the limit together

CALLER = """
import http.client, json, sys, time
from urllib.parse import urlsplit

urls, path, token, body, begin, volley = json.loads(sys.argv[1])
doors = [http.client.HTTPConnection(urlsplit(url).hostname, urlsplit(url).port, timeout=20) for url in urls]

def ask(n):
    door, sent = doors[n % len(doors)], time.time()
    door.request("POST", path, body, {"token": token})
    answer = door.getresponse()
    answer.read()
    door.close()
    told = [int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")]
    print(json.dumps([sent, time.time(), answer.status, *told]), flush=True)
    return told[-1]

time.sleep(max(0, begin - time.time()))
for n in range(volley):
    reset = ask(n)
while time.time() < reset:
    time.sleep(max(0, min(7, reset - time.time())))
    if time.time() < reset:  # a refused try must not push Reset away
        ask(0)
for n in range(volley):
    ask(n)
"""


@pytest.fixture(scope="session")
def other_urls(installation: Installation) -> Iterator[list[str]]:
    """A second and a third gateway process on the same Redis."""
    with contextlib.ExitStack() as stack:
        gateways = [stack.enter_context(another_gateway(installation)) for _ in range(2)]
        for url, process in gateways:
            deadline = time.monotonic() + START_WITHIN_S
            while not answers_health(url):
                assert process.poll() is None, installation.log[-3000:]
                assert time.monotonic() < deadline, installation.log[-3000:]
                time.sleep(POLL_S)
        yield [url for url, _ in gateways]


@contextlib.contextmanager
def another_gateway(installation: Installation) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start one more gateway, which need not serve yet."""
    with socket.socket() as free, socket.socket() as free_too:
        for one in (free, free_too):
            one.bind(("127.0.0.1", 0))
        port, admin_port = free.getsockname()[1], free_too.getsockname()[1]
    with (installation.folder / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=ROOT,
            env=installation.environment | {"PRESENCE_HTTP__PORT": str(port), "PRESENCE_ADMIN__PORT": str(admin_port)},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        assert process.wait(STOP_WITHIN_S) == 0


def answers_health(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="session")
def callers(installation: Installation, other_urls: list[str]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Eight processes that fire at one token at once, wait for its Reset, and fire again."""
    tenant = installation.create_tenant(per_minute=None)
    body = json.dumps({"number": new_number(), "state": "pause"})
    path = f"/api/chat/presence/{tenant.instance}"
    order = [[installation.url, *other_urls], path, tenant.account_token, body, time.time() + 2, VOLLEY]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, json.dumps(order)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(CALLERS)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session", autouse=True)
def early_callers(request: pytest.FixtureRequest) -> None:
    """Whoever will read what the callers saw, need not wait for them at the end."""
    if any("callers" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("callers")
