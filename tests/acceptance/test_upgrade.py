"""A data folder of the real 0.1.0, opened by this version: tokens, records and usage are there, and every pause comes.

The folder was left by 0.1.0 in the midst of its work (`make old-data`). Nothing here knows how it is written down.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from acceptance.caller import NOISE_S, Client, eventually, new_number
from fakes.base import FakeUpstream
from installation import Installation
from old_data import FIXTURE, Owed, copy_as_if_stopped, old_upstreams, shown_on
from terminal import Run

AT_ONCE_S = 8.0
DAY_S = 86_400.0
ECHO_S = 10.0  # what was under way is paused a second time
NOT_YET_S = 35  # 0.1.0 was stopped with 50 s to go for its long ones
Upstreams = Mapping[str, FakeUpstream]


@pytest.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    async with old_upstreams() as fakes:
        yield fakes


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Installation, Client]]:
    """This version over the data that `folder` has; its upstreams answer meanwhile."""
    installation = Installation(folder)
    try:
        await asyncio.to_thread(installation.start)
        async with Client(installation) as client:
            yield installation, client
    finally:
        await asyncio.to_thread(installation.close)


async def told_of(one: Owed, upstreams: Upstreams, client: Client) -> list[tuple[str, float]]:
    """What this version told an owed chat: states, and when in Unix seconds."""
    if one.kind == "sandbox":
        return [(call.state, call.at) for call in await client.calls_for(one.chat)]
    ahead = time.time() - asyncio.get_running_loop().time()
    return [(shown.state.value, shown.at + ahead) for shown in shown_on(upstreams[one.kind], one.chat)]


async def paused(one: Owed, upstreams: Upstreams, client: Client, *, within: float) -> float:
    """Wait until the chat's last state is a pause, and return when it came."""

    async def probe() -> float | None:
        was_told = await told_of(one, upstreams, client)
        return was_told[-1][1] if was_told and was_told[-1][0] == "paused" else None

    return await eventually(probe, within=within, what=f"a pause for what is owed: {one.why}")


async def listed(client: Client, token: str) -> list[str] | int:
    """The names of the instances that a token may list, or the status with which it is refused."""
    answer = await client.request("GET", "/api/instance/list", headers={"token": token})
    return sorted(one["name"] for one in answer.body["instances"]) if answer.status == 200 else answer.status


def missing(said: Mapping[str, Any], says: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an old list that the new one does not have, with all that they said."""
    ((name, rows),) = said.items()
    new = {row["id"]: row for row in says[name]}
    return [row for row in rows if not row.items() <= new.get(row["id"], {}).items()]


async def is_well(installation: Installation, look: str) -> bool | None:
    """Whether a command that looks for trouble finds none; it says so by its exit code."""
    with suppress(AssertionError):
        return bool((await asyncio.to_thread(installation.command, look))["ok"])
    return None


async def test_what_fell_due_while_nothing_ran_is_paused_at_once_and_nothing_is_left(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    known = copy_as_if_stopped(tmp_path / "data", ago_s=30 * DAY_S)
    async with serving(tmp_path) as (installation, client):
        for one in known.owed:
            await paused(one, upstreams, client, within=AT_ONCE_S)
            assert {state for state, _ in await told_of(one, upstreams, client)} == {"paused"}, one

        async def settled() -> bool | None:
            return '"owed":0' in (await client.operators("/admin/indicators")).replace(" ", "") or None

        await eventually(settled, within=ECHO_S + AT_ONCE_S, what="nothing is owed any more")
        assert [await listed(client, token) for token in known.in_grace] == [401]
        for look in ("check", "status"):
            await eventually(partial(is_well, installation, look), within=AT_ONCE_S, what=f"`{look}` finds nothing")


async def test_what_is_not_due_yet_goes_on_showing_and_is_paused_on_time(tmp_path: Path, upstreams: Upstreams) -> None:
    known = copy_as_if_stopped(tmp_path / "data", ago_s=NOT_YET_S)
    async with serving(tmp_path) as (_, client):
        early = [one for one in known.owed if one.due_s > time.time() + 5]
        assert len(early) == 4, "the start took too long for this test"
        token = next(token for token, instances in known.tokens.items() if instances == ["sales"])
        showing = await client.request("GET", "/api/chat/presence/sales", headers={"token": token})
        ends = {one["chat"]: one["ends"] for one in showing.body["indicators"]}
        assert ends[early[0].chat] == pytest.approx(early[0].due_s, abs=0.5)

        for one in known.owed:
            at_s = await paused(one, upstreams, client, within=max(one.due_s - time.time(), 0) + AT_ONCE_S)
            if one in early and one.kind != "evolution":  # which pauses and shows again by itself
                assert -0.1 <= at_s - one.due_s <= NOISE_S, one
                assert {state for state, _ in await told_of(one, upstreams, client)} == {"typing", "paused"}, one


def test_the_settings_file_that_came_with_it_is_taken_as_it_is(run: Run) -> None:
    checked = run("check-config", str(FIXTURE / "gateway.toml"))
    assert checked.code == 0, checked.err


async def test_records_tokens_and_usage_are_as_they_were(tmp_path: Path, upstreams: Upstreams) -> None:
    known = copy_as_if_stopped(tmp_path / "data", ago_s=1)
    async with serving(tmp_path) as (installation, client):
        for words, said in known.said.items():
            assert missing(said, await asyncio.to_thread(installation.command, *words.split())) == []
        for token, count in known.spent.items():
            if token in known.tokens:
                answer = await client.request("GET", "/api/instance/list", headers={"token": token})
                assert int(answer.headers["X-RateLimit-Limit"]) - answer.remaining == count + 1


async def test_every_token_works_or_does_not_as_before(tmp_path: Path, upstreams: Upstreams) -> None:
    known = copy_as_if_stopped(tmp_path / "data", ago_s=1)
    async with serving(tmp_path) as (_, client):
        for token, instances in known.tokens.items():
            assert await listed(client, token) == sorted(instances)
            shown = await client.post(instances[0], {"number": new_number(), "state": "typing"}, token=token)
            assert shown.status == 200, shown.raw
        assert [await listed(client, token) for token in known.in_grace] == [["sales", "support"]]
        assert [await listed(client, token) for token in known.dead] == [401] * len(known.dead)
