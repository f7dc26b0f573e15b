"""Docker's part for deploy/compose.yaml: each service in namespaces of its own, told what to do in JSON lines.

Run as root inside `unshare --mount --net --pid --fork --kill-child --mount-proc`, so that all of it ends with this
process. A container is this machine's own files under an overlay that is thrown away, with what the compose file mounts
over them, an interface on each of its networks, and a resolver that knows the services on those.
"""

import ctypes
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DNS = ("127.0.0.11", 53)
"""Where Docker's own resolver is, which deploy/nginx/compose.conf names."""

_CHECKOUT = Path(__file__).resolve().parents[1]

_NEW_NET = 0x40000000
_A, _IN = 1, 1

_START = """
set -e
read -r _
ip link set lo up
mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}
mount --rbind /proc {root}/proc
mount --rbind /dev {root}/dev
{mounts}
read -r _
exec env -i {environment} chroot {root} sh -c 'cd "$0" && exec "$@"' {folder} {command}
"""


def run(*command: str | int | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


@dataclass
class Container:
    """One process of a service, as the compose file and its image describe it."""

    name: str
    service: str
    networks: Sequence[str]
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    files: Mapping[str, str]
    """What its image has in place of this machine's, by path."""

    links: Mapping[str, str]
    """What its image has elsewhere."""

    binds: Mapping[str, str]
    tmpfs: Sequence[str]
    is_read_only: bool
    addresses: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def mounts(self, root: Path) -> str:
        """The commands that lay over the root what the compose file mounts."""
        lines = []
        for path in self.tmpfs:
            lines.append(f"mount -t tmpfs tmpfs {root}{path}")
            if _CHECKOUT.is_relative_to(path):  # in which what the tests run there is found
                inside = shlex.quote(f"{root}{_CHECKOUT}")
                lines += [f"mkdir -p {inside}", f"mount --rbind {shlex.quote(str(_CHECKOUT))} {inside}"]
        if self.is_read_only:
            lines.insert(0, f"mount -o remount,bind,ro {root}")
        for path, source in self.binds.items():
            lines.append(f"mount --bind {shlex.quote(source)} {root}{path}")
        return "\n".join(lines)


class Host:
    """Networks and containers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._networks: dict[str, int] = {}
        self._containers: list[Container] = []
        self._resolvers: dict[socket.socket, Container] = {}
        run("mount", "-t", "tmpfs", "tmpfs", folder)
        run("ip", "link", "set", "lo", "up")
        threading.Thread(target=self._resolve, daemon=True).start()

    def network(self, name: str) -> None:
        number = self._networks[name] = len(self._networks) + 1
        run("ip", "link", "add", f"net{number}", "type", "bridge")
        run("ip", "link", "set", f"net{number}", "up")

    def start(self, container: Container, log: str) -> None:
        self._containers.append(container)
        home = self._folder / container.name
        paths = {part: home / part for part in ("upper", "work", "root")}
        for path in paths.values():
            path.mkdir(parents=True)
        self._furnish(container, paths["upper"])
        script = _START.format(
            **paths,
            mounts=container.mounts(paths["root"]),
            environment=shlex.join(f"{name}={value}" for name, value in container.environment.items()),
            folder=container.folder,
            command=shlex.join(container.command),
        )
        with Path(log).open("ab") as output:
            container.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=output, stderr=output
            )
        self._connect(container)
        self._go_on(container)
        self._listen(container)
        self._go_on(container)

    def exec(self, name: str, command: Sequence[str]) -> dict[str, Any]:
        """Run a command in a container, as `docker exec` would."""
        (inside,) = (container for container in self._containers if container.name == name)
        environment = [f"{key}={value}" for key, value in inside.environment.items()]
        enter = ["nsenter", f"--target={inside.pid}", "--mount", "--net", "--root", "--wd", "env", "-i", *environment]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, timeout=60, check=False)
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}

    def _furnish(self, container: Container, upper: Path) -> None:
        resolver = {
            "/etc/resolv.conf": f"nameserver {DNS[0]}\noptions ndots:0\n",
            "/etc/hosts": "127.0.0.1 localhost\n",
        }
        for path, text in {**resolver, **container.files}.items():
            place = self._place(upper, path)
            place.write_text(text)
            place.chmod(0o755)
        for path, target in container.links.items():
            self._place(upper, path).symlink_to(target)
        for path in [*container.tmpfs, *container.binds, container.folder]:
            if Path(container.binds.get(path, "/")).is_dir():
                (upper / path[1:]).mkdir(parents=True, exist_ok=True)
            else:
                self._place(upper, path).touch()

    @staticmethod
    def _place(upper: Path, path: str) -> Path:
        place = upper / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _connect(self, container: Container) -> None:
        mine = Path(f"/proc/{container.pid}/ns/net")
        while mine.readlink() == Path("/proc/self/ns/net").readlink():
            assert container.process is not None
            assert container.process.poll() is None
        enter = ("nsenter", f"--target={container.pid}", "--net")
        number = len(self._containers)
        for name in container.networks:
            network = self._networks[name]
            address = container.addresses[name] = f"10.77.{network}.{number}"
            ours, theirs = f"v{number}n{network}", f"eth{network}"
            run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", container.pid)
            run("ip", "link", "set", ours, "master", f"net{network}", "up")
            run(*enter, "ip", "address", "add", f"{address}/24", "dev", theirs)
            run(*enter, "ip", "link", "set", theirs, "up")

    @staticmethod
    def _go_on(container: Container) -> None:
        assert container.process is not None
        assert container.process.stdin is not None
        container.process.stdin.write(b"\n")
        container.process.stdin.flush()

    def _listen(self, container: Container) -> None:
        """Open a container's resolver: a socket stays where it was made, so this process answers for all of them."""
        made: list[socket.socket] = []

        def make() -> None:
            with Path(f"/proc/{container.pid}/ns/net").open("rb") as space:
                assert ctypes.CDLL(None).setns(space.fileno(), _NEW_NET) == 0
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made[0].setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: its loopback may not be up yet
            made[0].bind(DNS)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        self._resolvers[made[0]] = container

    def _resolve(self) -> None:
        while True:
            readable, _, _ = select.select(list(self._resolvers), [], [], 0.05)
            for resolver in readable:
                asked, client = resolver.recvfrom(512)
                resolver.sendto(self._answer(asked, self._resolvers[resolver]), client)

    def _answer(self, asked: bytes, by: Container) -> bytes:
        """Answer one question with the addresses on the networks that it shares."""
        labels, at = [], 12
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length].decode())
            at += 1 + length
        question, kind = asked[12 : at + 5], int.from_bytes(asked[at + 1 : at + 3])
        named = [found for found in self._containers if ".".join(labels).lower() in {found.service, found.name}]
        reachable = [
            address for found in named for network, address in found.addresses.items() if network in by.networks
        ]
        found = reachable if kind == _A else []
        head = asked[:2] + (b"\x81\x80" if reachable else b"\x81\x83") + b"\x00\x01" + len(found).to_bytes(2) + bytes(4)
        answer = b"\xc0\x0c" + _A.to_bytes(2) + _IN.to_bytes(2) + (1).to_bytes(4) + (4).to_bytes(2)
        return head + question + b"".join(answer + socket.inet_aton(address) for address in found)


def main() -> None:
    """Do as each line says, and answer with a line."""
    host = Host(Path(sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if order["do"] == "network":
            host.network(order["name"])
        elif order["do"] == "start":
            host.start(Container(**order["container"]), order["log"])
        else:
            answer = host.exec(order["name"], order["command"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
