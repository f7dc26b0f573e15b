"""`presence-gateway status` believes no address that stands in Redis: it is shown nothing, and leads nowhere else."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from redis import Redis

from gateway.commands import cli
from gateway.process import keyfile
from gateway.store import keys


@contextmanager
def listener(location: str = "") -> Iterator[tuple[str, list[str]]]:
    """Somebody else's process; its URL, and all that it was sent."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.requestline}\n{self.headers}")
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_of_the_roster_is_sent_no_key_and_followed_nowhere(
    redis_url: str, everywhere_sync: Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = keyfile.generate()
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    for name, value in secrets.items():
        monkeypatch.setenv(f"PRESENCE_SECRETS__{name.upper()}", value)
    with listener() as (elsewhere, unheard), listener(elsewhere) as (url, heard):
        member = {"role": "gateway", "host": "h", "pid": 1, "url": url, "version": "1", "started": 0}
        everywhere_sync.zadd(keys.PROCESSES, {json.dumps(member): time.time() + 60})

        with pytest.raises(SystemExit) as ended:
            cli.main(["status", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert f"the gateway 1 on h does not answer at {url}" in told["problems"]
    assert len(heard) > 0
    assert unheard == []
    for secret in secrets.values():
        assert secret not in "".join(heard)
    assert "authorization" not in "".join(heard).lower()
