"""The experiment of one tenant's reach: a bystander on a healthy upstream, alone and beside an account at its worst.

Real processes: a gateway, a worker, Valkey, and the sandbox for the bystander. What an attack does is in
`chaos/attacks.py`; what the bystander may lose is here, the same for all: `MAY_LOSE_S` of its pauses' p99 lateness.
"""

import asyncio
import itertools
import resource
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import aiohttp
from rig import LOOPBACK, Caller, Rig, running_rig

from chaos.hanging import HangingUpstream
from chaos.load import CLOCK_S
from chaos.names import ALIVE, DEAD, NameServer
from gateway.commands.dev.ports import free_port
from gateway.presence.model import Target

MAY_LOSE_S = 0.05
NOISE_S = 0.1
"""What the attack's own generator, on the same two cores, adds to any lateness."""

CREDENTIALS = 100
DEAD_NAMES = 16
WITNESSES = 4
_PER_SECOND = 25.0
_ALONE_S, _ALONE_SHORT_S = 6.0, 0.4
_PAUSES_AFTER_S = 1
_SETTLED_WITHIN_S = 30.0
_OPEN_FILES = 12_000
_SETTINGS = {"PRESENCE_LIMITS__INSTANCES_PER_ACCOUNT": str(CREDENTIALS + DEAD_NAMES)}


@dataclass
class Ground:
    """Where all rows are played: the processes, the upstream that may hang, and who is who."""

    rig: Rig
    hanging_port: int
    attacker: str
    bystander: str
    witnesses: list[str]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000_000))

    def number(self) -> str:
        """A chat that nobody has used."""
        return f"55119{next(self.numbers):08}"


@dataclass
class Measured:
    """How a bystander fared for a while."""

    statuses: Counter[int] = field(default_factory=Counter)
    late_s: list[float] = field(default_factory=list)
    promised: int = 0
    early: int = 0

    @property
    def p99_s(self) -> float:
        return sorted(self.late_s)[ceil(len(self.late_s) * 0.99) - 1]


@dataclass
class Result:
    """One row, alone and beside the attack; `witnessed` is what else others lost by it."""

    alone: Measured
    beside: Measured
    witnessed: list[str]

    def objections(self, noise_s: float = NOISE_S) -> list[str]:
        """What the bystander lost that it may not lose."""
        beside, found = self.beside, list(self.witnessed)
        if refused := {status: count for status, count in beside.statuses.items() if status != 200}:
            found.append(f"the bystander was answered {refused}")
        if len(beside.late_s) < beside.promised:
            found.append(f"{beside.promised - len(beside.late_s)} of its pauses never came")
        if beside.early:
            found.append(f"{beside.early} of its pauses came early")
        if beside.late_s and beside.p99_s > self.alone.p99_s + MAY_LOSE_S + noise_s:
            found.append(f"its pauses were late by {beside.p99_s:.3f} s (p99), {self.alone.p99_s:.3f} s alone")
        return found


@dataclass(eq=False)
class Field:
    """An attack under way: what it may use."""

    ground: Ground
    http: aiohttp.ClientSession
    upstream: HangingUpstream
    attacker: Caller
    bystander: Caller
    witnessed: list[str] = field(default_factory=list)

    def witness(self, number: int) -> Caller:
        """One of the other bystanders, of whom the gateway has seen nothing yet."""
        return Caller(self.ground.rig, self.ground.witnesses[number], self.http)


Attack = Callable[[Field], AbstractAsyncContextManager[None]]
"""As a block, it is at its worst; behind it, nothing of it goes on."""


@dataclass(frozen=True)
class Row:
    """One attack, and for how long it is looked at: for the figures, and by the tests."""

    name: str
    attack: Attack
    seconds: float = 8.0
    short_s: float = 3.0


@contextmanager
def prepared(folder: Path, **overrides: str) -> Iterator[Ground]:
    """Start everything; the bystander's upstream has a name, which the only DNS server there is answers for."""
    _allow_open_files()
    port = free_port()
    with (
        NameServer() as names,
        running_rig(folder, _SETTINGS | {"PRESENCE_UPSTREAM__DNS_SERVERS": names.address} | overrides) as rig,
    ):
        healthy = f"http://{ALIVE}:{rig.ports['sandbox']}"
        attacker = rig.create_account("attacker", _of_attacker(port))
        bystander = rig.create_account("bystander", {"calm": Target("sandbox", healthy, "calm")})
        witnesses = [
            rig.create_account(f"witness{number}", {"calm": Target("sandbox", healthy, f"witness{number}")})
            for number in range(WITNESSES)
        ]
        rig.start("gateway")
        rig.start("worker")
        yield Ground(rig, port, attacker, bystander, witnesses)


def _of_attacker(port: int) -> dict[str, Target | None]:
    """Its instances: many credentials at one origin, and some whose origins' names nobody answers for."""
    hanging: dict[str, Target | None] = {
        f"w{number}": Target("wuzapi", f"http://{LOOPBACK}:{port}", f"w{number}", f"credential-{number}")
        for number in range(CREDENTIALS)
    }
    return hanging | {
        f"d{number}": Target("wuzapi", f"http://{DEAD.format(number)}", f"d{number}", f"credential-{number}")
        for number in range(DEAD_NAMES)
    }


def _allow_open_files() -> None:
    """Let this process, and those that it starts, hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def play(row: Row, ground: Ground, *, is_short: bool = False) -> Result:
    """Measure the bystander alone, then beside the attack; then let everything settle for the next row."""
    async with _field(ground) as scene:
        alone = await _measure(scene, _ALONE_SHORT_S if is_short else _ALONE_S)
        async with row.attack(scene):
            beside = await _measure(scene, row.short_s if is_short else row.seconds)
        await _nothing_owed(ground)
    return Result(alone, beside, scene.witnessed)


@asynccontextmanager
async def _field(ground: Ground) -> AsyncIterator[Field]:
    async with (
        HangingUpstream(ground.hanging_port) as upstream,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=20)) as http,
        # Another connection for each command: who is kept out by a flood is kept out at the door.
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=20)
        ) as calm,
    ):
        attacker = Caller(ground.rig, ground.attacker, http)
        yield Field(ground, http, upstream, attacker, Caller(ground.rig, ground.bystander, calm))


async def _measure(scene: Field, seconds: float) -> Measured:
    """Let the bystander command at a steady rate for so long, and see when its pauses come."""
    measured, since = Measured(), await _newest(scene)
    sent: dict[str, asyncio.Task[int]] = {}
    loop = asyncio.get_running_loop()
    began = loop.time()
    for turn in range(round(seconds * _PER_SECOND)):
        await asyncio.sleep(max(0.0, began + turn / _PER_SECOND - loop.time()))
        number = scene.ground.number()
        sent[number] = asyncio.create_task(scene.bystander.show("calm", number, duration=_PAUSES_AFTER_S))
    await asyncio.gather(*sent.values())
    measured.statuses.update(task.result() for task in sent.values())
    promised = {f"{number}@s.whatsapp.net" for number, task in sent.items() if task.result() == 200}
    measured.promised = len(promised)
    for late_s in (await _lateness(scene, since, promised)).values():
        measured.late_s.append(late_s)
        measured.early += late_s < -CLOCK_S
    return measured


async def _lateness(scene: Field, since: int, promised: set[str]) -> dict[str, float]:
    """How late each promised pause was, by the sandbox's clock alone; waits until all have come, or for long enough."""
    deadline = asyncio.get_running_loop().time() + _SETTLED_WITHIN_S
    while True:
        shown: dict[str, float] = {}
        late: dict[str, float] = {}
        for call in await _calls(scene, since):
            chat, at = str(call["chat"]), float(call["at"])
            if call["state"] == "typing":
                shown[chat] = at
            elif chat in shown and chat in promised:
                late.setdefault(chat, at - shown[chat] - _PAUSES_AFTER_S)
        if len(late) == len(promised) or asyncio.get_running_loop().time() > deadline:
            return late
        await asyncio.sleep(0.2)


async def _newest(scene: Field) -> int:
    calls = await _calls(scene, 0)
    return int(calls[-1]["n"]) if calls else 0


async def _calls(scene: Field, since: int) -> list[dict[str, Any]]:
    async with scene.http.get(f"{scene.ground.rig.sandbox_url}/calls", params={"since": since}) as response:
        calls: list[dict[str, Any]] = (await response.json())["calls"]
        return calls


async def _nothing_owed(ground: Ground) -> None:
    """Wait until what the attack left owing is paid: its upstream answers now."""
    with ground.rig.redis() as redis:
        deadline = asyncio.get_running_loop().time() + _SETTLED_WITHIN_S
        while any(redis.scan_iter("pg:{??}:queue")):
            assert asyncio.get_running_loop().time() < deadline, "the attacker's pauses never came"
            await asyncio.sleep(0.1)


async def all_at_once(calls: list[Coroutine[Any, Any, int]], at_a_time: int) -> Counter[int]:
    """Make calls, so many at a time; returns their statuses."""
    turns = asyncio.Semaphore(at_a_time)

    async def one(call: Coroutine[Any, Any, int]) -> int:
        async with turns:
            return await call

    return Counter(await asyncio.gather(*map(one, calls)))
