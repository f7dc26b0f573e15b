"""The rows of the bystander's experiment: what an account may do within its limits, and others must not feel."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from rig import LOOPBACK

from chaos.bystander import CREDENTIALS, DEAD_NAMES, WITNESSES, Field, Row, all_at_once

_OWED_EACH = 10
_OWED_FOR_S = 6  # longer than a slow machine takes to owe them all, shorter than the experiment
_BURST = 800
_HANG = 16
_HALF_OPEN = 4200
_FLOOD_FROM = "127.0.0.66"
_TIMES_ASKED = 6
_UNAVAILABLE = 503


@asynccontextmanager
async def hanging_credentials(scene: Field) -> AsyncIterator[None]:
    """A hundred credentials of one origin owe ten pauses each when it begins to hang."""
    owed = [
        scene.attacker.show(f"w{number}", scene.ground.number(), duration=_OWED_FOR_S)
        for number in range(CREDENTIALS)
        for _ in range(_OWED_EACH)
    ]
    statuses = await all_at_once(owed, _HANG)
    assert statuses == {200: len(owed)}, f"the attack itself was refused: {statuses}"
    scene.upstream.hang()
    try:
        yield
        assert scene.upstream.most_under_way >= _HANG, f"only {scene.upstream.most_under_way} hung"
    finally:
        scene.upstream.go_on()


@asynccontextmanager
async def dead_names(scene: Field) -> AsyncIterator[None]:
    """Commands without end to sixteen upstreams whose names no server answers for."""
    asking = [asyncio.create_task(_command_until_answered(scene, f"d{number}")) for number in range(DEAD_NAMES)]
    try:
        yield
        assert not any(one.done() for one in asking), "a name that nobody answers for led somewhere"
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _command_until_answered(scene: Field, instance: str) -> None:
    while True:
        if await scene.attacker.show(instance, scene.ground.number(), duration=1) != _UNAVAILABLE:
            return
        await asyncio.sleep(0.05)


@asynccontextmanager
async def hanging_probes(scene: Field) -> AsyncIterator[None]:
    """It lists its hundred sessions, all of which hang, again and again; others look at theirs for the first time."""
    scene.upstream.hang()
    listing = asyncio.create_task(_list_for_ever(scene))
    await asyncio.sleep(0.5)
    looking = asyncio.create_task(_look_around(scene))
    try:
        yield
        await looking
    finally:
        listing.cancel()
        scene.upstream.go_on()
        await asyncio.gather(listing, return_exceptions=True)


async def _list_for_ever(scene: Field) -> None:
    while True:
        await _list(scene, scene.ground.attacker)


async def _look_around(scene: Field) -> None:
    for number in range(WITNESSES):
        (state,) = await _list(scene, scene.ground.witnesses[number])
        if state != "connected":
            scene.witnessed.append(f"somebody else's session is shown as {state}")
        await asyncio.sleep(0.5)


async def _list(scene: Field, token: str) -> list[str]:
    url = f"{scene.ground.rig.url}/api/instance/list"
    async with scene.http.get(url, headers={"token": token}) as response:
        assert response.status == 200, await response.text()
        return [instance["connection"]["state"] for instance in (await response.json())["instances"]]


@asynccontextmanager
async def burst_of_commands(scene: Field) -> AsyncIterator[None]:
    """Eight hundred commands at once to an upstream that hangs, again as soon as those are over."""
    scene.upstream.hang()
    bursting = asyncio.create_task(_burst_for_ever(scene))
    try:
        yield
        assert scene.upstream.most_under_way >= _HANG, f"only {scene.upstream.most_under_way} hung"
    finally:
        bursting.cancel()
        scene.upstream.go_on()
        await asyncio.gather(bursting, return_exceptions=True)


async def _burst_for_ever(scene: Field) -> None:
    while True:
        commands = [
            scene.attacker.show(f"w{number % CREDENTIALS}", scene.ground.number(), duration=1)
            for number in range(_BURST)
        ]
        await asyncio.gather(*commands)
        await asyncio.sleep(0.5)


@asynccontextmanager
async def half_open_connections(scene: Field) -> AsyncIterator[None]:
    """Thousands of connections from one address that begin a request and do not end it, to both ports."""
    ports, over = scene.ground.rig.ports, threading.Event()
    floods = [
        asyncio.create_task(asyncio.to_thread(_flood, ports["gateway"], _HALF_OPEN, over)),
        asyncio.create_task(asyncio.to_thread(_flood, ports["gateway metrics"], _HALF_OPEN // 4, over)),
    ]
    asking = asyncio.create_task(_ask_as_operator(scene))
    try:
        yield
        await asking
    finally:
        over.set()
        await asyncio.gather(*floods)


async def _ask_as_operator(scene: Field) -> None:
    """Ask the operator's port, each time on a connection of its own."""
    url = f"http://{scene.ground.rig.targets['gateway']}/livez"
    for _ in range(_TIMES_ASKED):
        await asyncio.sleep(0.4)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http,
                http.get(url) as response,
            ):
                status = str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            status = type(error).__name__
        if status != "200":
            scene.witnessed.append(f"the operator's port answers {status}")


def _flood(port: int, count: int, over: threading.Event) -> None:
    opened = [_half_open(port) for _ in range(count)]
    over.wait(0.2)  # they are being accepted, or refused
    for one in opened:
        with suppress(OSError):
            one.send(b"GET / HT")
    over.wait()
    for one in opened:
        one.close()


def _half_open(port: int) -> socket.socket:
    one = socket.socket()
    one.bind((_FLOOD_FROM, 0))
    one.setblocking(False)
    one.connect_ex((LOOPBACK, port))
    return one


ATTACKS = (
    Row("100 credentials that hang, 10 owed each", hanging_credentials, short_s=6.0),
    Row("16 names that no DNS server answers for", dead_names),
    Row("a list of 100 sessions that hang", hanging_probes),
    Row("800 commands at once, again and again", burst_of_commands),
    Row("4,200 half-open connections", half_open_connections),
)
