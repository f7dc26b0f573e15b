"""What one primary carries, and what three do: commands a second of 6 s indicators, end to end, pauses in time.

    make bench ARGS="--only primaries"

Each primary is held to a part of a core by a control group, so that Redis is what is short, and not the machine. It is
asked for more and more, until a command is refused or the pauses' p99 lateness is over 50 ms; the last rate before that
counts. A gateway, a worker, the upstream that remembers, and the load generator have the rest of the machine.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusters import Cluster, start_cluster
from comparison import held, lateness
from comparison.costs import measured
from comparison.load import LoadFailed, open_loop
from comparison.ours import Installation
from comparison.processes import LOOPBACK, program, running
from comparison.stacks import NO_LIMIT, Stack
from redis.crc import key_slot
from rich.console import Console
from rich.table import Table

from gateway.commands.dev.ports import free_port
from gateway.store import keys

DURATION_S = 6
MOST_LATE_MS = 50.0
_INSTANCES = 96
"""Enough that the partitions, and so the primaries, have about as many each."""

_FASTER = 1.15
_LAST_S = 2.0


@dataclass(frozen=True)
class Carried:
    """One rate: how late pauses were at it, and what each role took of a core."""

    rate: float
    late_p99_ms: float
    cores: dict[str, float]


@contextmanager
def _site(folder: Path, primaries: int) -> Iterator[tuple[Installation, Cluster, str]]:
    port = free_port()
    with (
        running(program("upstream", port), folder / "upstream.log", port=port),
        start_cluster(folder / "cluster", primaries=primaries, appendonly="yes", appendfsync="always") as cluster,
    ):
        _spread(cluster)
        installation = Installation(folder, cluster.url, f"http://{LOOPBACK}:{port}")
        names = [f"bench{number}" for number in range(_INSTANCES)]
        created = installation.create_account("bench", names, per_minute=NO_LIMIT)
        callers = "".join(f"/api/chat/presence/{one.name} {one.token}\n" for one in created)
        (folder / "callers").write_text(callers)
        yield installation, cluster, f"http://{LOOPBACK}:{port}"


def _spread(cluster: Cluster) -> None:
    """Share the partitions out: equally, but that who admits callers, for all of them, has a half of a share."""
    if len(cluster.nodes) == 1:
        return
    admits = cluster.owner(keys.ACCOUNTS)
    shares = {id(node): 2.0 for node in cluster.nodes} | {id(admits): 1.0}
    has = dict.fromkeys(shares, 0)
    for number in range(keys.PARTITIONS):
        node = min(cluster.nodes, key=lambda one: (has[id(one)] + 1) / shares[id(one)])
        has[id(node)] += 1
        slot = key_slot(keys.queue(number).encode())
        if cluster.owner(keys.queue(number)) is not node and slot != key_slot(keys.ACCOUNTS.encode()):
            cluster.move_slots(slot, slot, node)


def _carry(
    site: tuple[Installation, Cluster, str], pids: dict[str, int], rate: float, seconds: float, number: int
) -> Carried:
    installation, _, upstream_url = site
    stack = Stack("ours", f"{LOOPBACK}:{installation.port}", installation.folder / "callers", pids, None)
    lateness.told(upstream_url)
    with measured(pids, None) as costs:
        load = open_loop(stack, number, rate, seconds, duration_s=DURATION_S)
    time.sleep(DURATION_S + _LAST_S)
    began: dict[str, float] = {}
    late_ms = []
    for phone, state, at in lateness.told(upstream_url):
        if state == "paused":
            late_ms.append((at - began[phone] - DURATION_S) * 1000)
        else:
            began.setdefault(phone, at)
    if len(late_ms) < load.requests:
        raise LoadFailed(f"{load.requests - len(late_ms)} pauses did not come")
    late_ms.sort()
    cores = {role: spent_s / costs.seconds for role, spent_s in costs.cpu_s.items()}
    return Carried(rate, late_ms[round(0.99 * (len(late_ms) - 1))], cores)


def _most(folder: Path, primaries: int, share: float, begin: float, seconds: float, console: Console) -> Carried:
    """Go faster until it is too fast; returns the last that was not."""
    held.SHARE = share
    with _site(folder, primaries) as site, site[0].serving(1) as gateway, site[0].working() as worker:
        nodes = [node.process.pid for node in site[1].nodes if node.process]
        pids = {"gateway": gateway, "worker": worker} | {f"primary {n}": pid for n, pid in enumerate(nodes, 1)}
        _carry(site, pids, begin / 2, 2.0, 90)
        best: Carried | None = None
        with held.held(nodes):
            rate, number = begin, 0
            while True:
                try:
                    carried = _carry(site, pids, rate, seconds, number)
                except LoadFailed as reason:
                    console.print(f"{primaries} primaries, {rate:.0f}/s: {reason}")
                    break
                console.print(
                    f"{primaries} primaries, {rate:.0f}/s: p99 {carried.late_p99_ms:.1f} ms late, {carried.cores}"
                )
                if carried.late_p99_ms > MOST_LATE_MS:
                    break
                best, rate, number = carried, rate * _FASTER, number + 1
    if best is None:
        sys.exit(f"{primaries} primaries do not carry {begin:g} commands/s: begin lower (--from)")
    return best


def main(arguments: list[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="--only primaries ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--share", type=float, default=0.1, help="of a core, for each primary (default: %(default)s)")
    parser.add_argument("--from", dest="begin", type=float, default=80.0, help="commands/s (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each rate (default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    most: dict[int, Carried] = {}
    for primaries in (1, 3):
        with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder:
            begin = options.begin if primaries == 1 else most[1].rate * 1.5
            most[primaries] = _most(Path(folder), primaries, options.share, begin, options.seconds, console)
    table = Table("primaries", "commands/s", "p99 late", "gateway", "worker", "primaries, of a core each")
    for primaries, carried in most.items():
        held_cores = [f"{share:.3f}" for role, share in carried.cores.items() if role.startswith("primary")]
        table.add_row(
            str(primaries),
            f"{carried.rate:.0f}",
            f"{carried.late_p99_ms:.1f} ms",
            *(f"{carried.cores[role]:.2f}" for role in ("gateway", "worker")),
            ", ".join(held_cores),
        )
    Console().print(
        table, f"three carry {most[3].rate / most[1].rate:.2f} times what one does, {options.share:g} of a core each"
    )
