"""One token, eight processes, three gateways: a minute of waiting, so it begins with the first test of all."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests
from acceptance.caller import new_number
from installation import POLL_S, ROOT, START_WITHIN_S, STOP_WITHIN_S, Installation

from gateway.commands.dev.ports import free_port

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
    port, admin_port = free_port(), free_port()
    with (installation.folder / "dev.err").open("ab") as log:
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
