"""A network of namespaces on one bridge, each like a machine, whose links can be taken away; Linux, as root."""

import os
import subprocess
from typing import Self


class NotPermitted(Exception):
    """This machine does not let us do it; the message says what."""


class Network:
    """Machines by name, and everything outside of them (this process, for one) at `outside`.

    The addresses are those that are set aside for tests of networks.
    """

    def __init__(self, *machines: str) -> None:
        self._bridge = f"chaos{os.getpid()}"
        net = f"198.18.{os.getpid() % 250}"
        self.outside = f"{net}.1"
        self._addresses = {machine: f"{net}.{number}" for number, machine in enumerate(machines, start=2)}

    def __enter__(self) -> Self:
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{self.outside}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for machine in self._addresses:
                self._add(machine)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            raise NotPermitted("network namespaces need root and iproute2") from error
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self._addresses:
            _ip("netns", "del", self._space(machine), check=False)
        _ip("link", "del", self._bridge, check=False)

    def address(self, machine: str) -> str:
        return self._addresses.get(machine, self.outside)

    def inside(self, machine: str) -> list[str]:
        """Return the words before a command that runs it on a machine; they leave its process id as it is."""
        return ["ip", "netns", "exec", self._space(machine)] if machine in self._addresses else []

    def unplug(self, machine: str) -> None:
        """Let what it sends and what is sent to it vanish; nobody is told."""
        _ip("link", "set", self._port(machine), "nomaster")

    def plug(self, machine: str) -> None:
        _ip("link", "set", self._port(machine), "master", self._bridge)

    def cut(self, one: str, other: str) -> None:
        """Let what two machines send each other vanish; both still reach everybody else."""
        self._route("add", one, other)
        self._route("add", other, one)

    def mend(self, one: str, other: str) -> None:
        self._route("del", one, other)
        self._route("del", other, one)

    def _route(self, how: str, source: str, target: str) -> None:
        _ip("-n", self._space(source), "route", how, "blackhole", f"{self._addresses[target]}/32")

    def _add(self, machine: str) -> None:
        space, port = self._space(machine), self._port(machine)
        _ip("netns", "add", space)
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", port, "master", self._bridge, "up")
        _ip("-n", space, "addr", "add", f"{self._addresses[machine]}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")

    def _space(self, machine: str) -> str:
        return f"{self._bridge}-{machine}"

    def _port(self, machine: str) -> str:
        return f"{self._bridge}p{list(self._addresses).index(machine)}"


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)
