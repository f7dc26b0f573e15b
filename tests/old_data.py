"""The data folder that 0.1.0 left (`fixtures/data-0.1.0`, made by `fixtures/make_old_data.py`), and its upstreams."""

import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from fakes.base import FakeUpstream, Shown
from fakes.evolution import FakeEvolution
from fakes.ryzeapi import FakeRyzeapi
from fakes.waha import FakeWaha
from fakes.wuzapi import FakeWuzapi

FIXTURE = Path(__file__).parent / "fixtures" / "data-0.1.0"

_HOST = "127.83.61.7"  # an address of this test's own, since the data names its upstreams' ports
_PORTS: Mapping[type[FakeUpstream], int] = {
    FakeWaha: 18101,
    FakeEvolution: 18102,
    FakeWuzapi: 18103,
    FakeRyzeapi: 18104,
}


@dataclass(frozen=True)
class Owed:
    """A pause that 0.1.0 owed when it was stopped.

    Attributes:
        instance: the instance's name.
        kind: that of its upstream.
        chat: the chat's JID.
        due_s: when the pause was due, Unix seconds; 0 where its command was never answered.
        why: how it came to be owed.
    """

    instance: str
    kind: str
    chat: str
    due_s: float
    why: str


@dataclass(frozen=True)
class Told:
    """What 0.1.0 was asked, and what it said of itself before it was stopped.

    Attributes:
        stopped_s: when that was, Unix seconds.
        owed: every pause that it owed.
        tokens: every token in clear that works, and the instances that it may list.
        in_grace: tokens of acme that were rotated with an hour's grace.
        dead: tokens that do not work.
        spent: how many requests each token of the minute had spent.
        said: the answers of its commands by their words, such as `account list`.
    """

    stopped_s: float
    owed: Sequence[Owed]
    tokens: Mapping[str, list[str]]
    in_grace: Sequence[str]
    dead: Sequence[str]
    spent: Mapping[str, int]
    said: Mapping[str, Any]


def copy_as_if_stopped(folder: Path, *, ago_s: float) -> Told:
    """Copy the data folder with every instant in it moved, as if 0.1.0 had been stopped so long ago."""
    known = (FIXTURE / "told.json").read_bytes()
    stopped_s = json.loads(known)["stopped_s"]
    by_s = round(time.time() - ago_s - stopped_s)
    shutil.copytree(FIXTURE / "data", folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    for log in folder.glob("appendonlydir/*.incr.aof"):
        log.write_bytes(_moved(log.read_bytes(), stopped_s, by_s))
    told = json.loads(_moved(known, stopped_s, by_s))
    return Told(**told | {"owed": [Owed(**owed) for owed in told["owed"]]})


def _moved(text: bytes, stopped_s: float, by_s: int) -> bytes:
    """Move every instant in what 0.1.0 wrote: plain decimal numbers, of seconds, milliseconds or microseconds.

    Whole seconds leave them as long as they were, and so the lengths that stand in the log true.
    """
    days = str(stopped_s)[:4]  # all of them are within days of the end
    instant = rf"(?<![0-9A-Za-z]){days}[0-9]{{6}}(?=(?:[0-9]{{3}}){{0,2}}(?![0-9A-Za-z]))"
    return re.sub(instant.encode(), lambda found: str(int(found[0]) + by_s).encode(), text)


@asynccontextmanager
async def old_upstreams() -> AsyncIterator[dict[str, FakeUpstream]]:
    """Run the upstreams that the data names, at the addresses that it names, by kind."""
    async with AsyncExitStack() as stack:
        fakes: dict[str, FakeUpstream] = {}
        for fake_type, port in _PORTS.items():
            fake = fakes[fake_type.KIND] = fake_type()
            runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.01)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(fake.stop)
            await web.TCPSite(runner, _HOST, port).start()
        yield fakes


def url_of(fake: FakeUpstream) -> str:
    """Where the data says that it is."""
    return f"http://{_HOST}:{_PORTS[type(fake)]}"


def shown_on(fake: FakeUpstream, chat: str) -> list[Shown]:
    """What a chat was told there."""
    return [one for one in fake.shown if one.chat == chat]
