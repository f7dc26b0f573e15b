"""An installation of real processes, its tenants, and so many generated requests to both ports of its gateway."""

import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import uvloop
from rig import LOOPBACK, Caller, Rig, running_rig

from fuzz import odd
from fuzz.generator import NAMES, Generator, Request
from fuzz.surface import Port, World, operations
from fuzz.wire import Answer, Connection, objection
from gateway import settings
from gateway.wiring import Services, open_services

FORMATS = ("json", "console")
PROCESSES = ("gateway", "worker")
AT_ONCE = 8
VICTIMS = 25

_PLENTY = 1_000_000
_ENVIRONMENT = {
    "PRESENCE_LIMITS__PER_MINUTE": str(_PLENTY),
    "PRESENCE_LIMITS__CREATION_PER_MINUTE": str(_PLENTY),
    "PRESENCE_LIMITS__INSTANCES_PER_ACCOUNT": str(_PLENTY),
    # Headers that name a client are read, so that they are attacked too.
    "PRESENCE_HTTP__TRUSTED_PROXIES": "1",
    "PRESENCE_ADMIN__TRUSTED_PROXIES": "1",
    "PRESENCE_HTTP__BODY_TIMEOUT_S": "1",
    "PRESENCE_UPSTREAM__SESSIONS": "account.instance",
}
_TRACES = ("Traceback", "request_failed", "wake_failed", "worker_failed", "Error handling request")


@dataclass
class Result:
    """What came of a run."""

    asked: int = 0
    took_s: float = 0.0
    statuses: Counter[int | None] = field(default_factory=Counter)
    objections: list[str] = field(default_factory=list)


def play(count: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Result:
    """Send `count` requests, half of them to processes that log JSON, half to such that log for people."""
    result, began = Result(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, running_rig(Path(folder), _ENVIRONMENT) as rig:
        world, bystander = uvloop.run(_tenants(rig))
        for log_format in FORMATS:
            rig.environ["PRESENCE_LOG__FORMAT"] = log_format
            for name in PROCESSES:
                rig.start(name)
            seeds = [f"{seed} {log_format} {number}" for number in range(AT_ONCE)]
            uvloop.run(_attack(rig, world, seeds, count // len(FORMATS) // AT_ONCE, result))
            if not uvloop.run(_is_kept(rig, bystander)):
                result.objections.append("the bystander's indicator was not ended on time")
            for name in PROCESSES:
                rig.stop(name)
            tell(f"{log_format}: {result.asked} requests so far, {len(result.objections)} objections")
        result.objections += _said(rig, world)
    result.took_s = time.monotonic() - began
    return result


async def _tenants(rig: Rig) -> tuple[World, str]:
    """Make the tenants; the world, and the token of one that nobody attacks."""
    async with open_services(settings.load(environ=rig.environ)) as services:
        world = await _world(services)
        bystander = await services.directory.create_account("bystander")
        await services.directory.create_instance(bystander.id, "quiet")
    return world, bystander.token


async def _attack(rig: Rig, world: World, seeds: list[str], count: int, result: Result) -> None:
    described = operations()
    await asyncio.gather(*(_send(rig, Generator(world, described, seed), count, result) for seed in seeds))
    if any(process.poll() is not None for process in rig.processes.values()):
        result.objections.append("a process has ended")


async def _send(rig: Rig, generator: Generator, count: int, result: Result) -> None:
    ports: dict[Port, int] = {"public": rig.ports["gateway"], "admin": rig.ports["gateway metrics"]}
    connections = {port: Connection(LOOPBACK, number) for port, number in ports.items()}
    before: dict[Port, bytes] = {}
    for _ in range(count):
        request = generator.next()
        try:
            answer, wrong = await connections[request.port].ask(request), None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one
            answer, wrong = None, repr(error)
            connections[request.port].close()
        _note(result, request, answer, wrong or objection(request, answer), before.get(request.port, b""))
        before[request.port] = request.raw
    for connection in connections.values():
        connection.close()


def _note(result: Result, request: Request, answer: Answer | None, wrong: str | None, before: bytes) -> None:
    result.asked += 1
    result.statuses[answer.status if answer else None] += 1
    if wrong:
        told = f"{request.port} {request.route} -> {answer.body[:200] if answer else b''!r}"
        result.objections.append(f"{wrong}: {told}\n    {_short(request.raw)}\n    behind {_short(before)}")


def _short(raw: bytes) -> str:
    """A request without what repeats."""
    return repr(re.sub(rb"(.{1,20}?)\1{20,}", rb"<\1...>", raw, flags=re.DOTALL)[:3000])


async def _world(services: Services) -> World:
    directory = services.directory
    main, foreign = await directory.create_account("main"), await directory.create_account("foreign")
    fixed = await directory.create_instance(main.id, "fixed")
    await directory.create_instance(foreign.id, "theirs")
    revoked = await directory.issue_token(main.id)
    await directory.revoke_token(revoked.id)
    victims = [await directory.create_account(f"victim{number}") for number in range(VICTIMS)]
    of_victims = [await directory.create_instance(victim.id, "n1") for victim in victims]
    mine = [await directory.create_instance(main.id, name) for name in NAMES[:25]]
    spare = [await directory.issue_token(main.id) for _ in range(10)]
    return World(
        main.token,
        fixed.token,
        foreign.token,
        revoked.token,
        services.settings.secrets.admin_key,
        known={
            "public instance": ["fixed", "fixed", *NAMES],
            "admin account": [victim.id for victim in victims],
            "admin token": [token.id for token in spare],
            "admin instance": [instance.id for instance in (*mine, *of_victims)],
        },
        foreign={
            "public instance": ["theirs", "quiet"],
            "admin account": [victim.id for victim in victims],
            "admin token": [victim.id.replace("a", "t", 1) for victim in victims],
            "admin instance": [instance.id for instance in of_victims],
        },
    )


async def _is_kept(rig: Rig, token: str) -> bool:
    """Whether a promise that is made after all this is kept."""
    async with aiohttp.ClientSession() as http:
        number = "5511777777777"
        if await Caller(rig, token, http).show("quiet", number, duration=1) != 200:
            return False
        for _ in range(60):
            async with http.get(f"{rig.sandbox_url}/calls") as told:
                calls = [call["state"] for call in (await told.json())["calls"] if call["chat"].startswith(number)]
            if calls[-1:] == ["paused"]:
                return True
            await asyncio.sleep(0.05)
    return False


def _said(rig: Rig, world: World) -> list[str]:
    """Look through every log for stack traces and secrets."""
    keys = _keys_of(rig)
    secrets = {odd.MARK, world.account_token, world.instance_token, world.foreign_token, world.revoked_token, *keys}
    found = []
    for name in (*PROCESSES, "sandbox"):
        log = rig.log(name)
        found += [f"the {name}'s log holds {trace}: {_around(log, trace)}" for trace in _TRACES if trace in log]
        found += [f"the {name}'s log holds a secret: {_around(log, secret)}" for secret in secrets if secret in log]
    return found


def _keys_of(rig: Rig) -> list[str]:
    """The installation's own keys."""
    loaded = settings.load(environ=rig.environ).secrets
    return [loaded.pepper, loaded.encryption_keys, loaded.admin_key]


def _around(log: str, what: str) -> str:
    at = log.index(what)
    return log[max(0, at - 300) : at + 4000]
