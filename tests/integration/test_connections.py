"""What each connection is held to, over real sockets, whichever way its answers are written."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.process.server import Caps, listening

WITHIN_S = 5.0

WAYS = pytest.mark.parametrize("batched", [True, False], ids=["batched", "plain"])

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def greet(_: web.Request) -> web.Response:
    return web.Response(text="in")


@asynccontextmanager
async def door(caps: Caps, *, batched: bool, is_leaving: Callable[[], bool] = lambda: False) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/", greet)
    async with listening(
        app, "0.0.0.0", 0, caps=caps, is_leaving=is_leaving, batches_writes=batched, shutdown_timeout=0.1
    ) as port:
        yield port


async def connect(port: int, source: str = "127.0.0.1") -> Connection:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def is_served(connection: Connection) -> bool:
    """Ask on a connection that is kept; whoever is refused is cut off instead."""
    reader, writer = connection
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        await asyncio.wait_for(reader.readexactly(len("in")), WITHIN_S)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return head.startswith(b"HTTP/1.1 200")


async def leave(port: int, connection: Connection, source: str = "127.0.0.1") -> Connection:
    """Close one; returns the first new connection that gets in."""
    connection[1].close()
    async with asyncio.timeout(WITHIN_S):
        while not await is_served(entered := await connect(port, source)):
            entered[1].close()
    return entered


def close(connections: list[Connection]) -> None:
    for _, writer in connections:
        writer.close()


@WAYS
async def test_one_connection_too_many_is_closed_and_gets_in_when_another_leaves(*, batched: bool) -> None:
    async with door(Caps(total=3), batched=batched) as port:
        kept = [await connect(port) for _ in range(3)]
        assert [await is_served(one) for one in kept] == [True, True, True]
        refused = await connect(port)
        assert not await is_served(refused)
        assert [await is_served(one) for one in kept] == [True, True, True]
        kept.append(await leave(port, kept.pop()))
        close([*kept, refused])


@WAYS
async def test_an_address_that_has_its_share_leaves_room_for_another(*, batched: bool) -> None:
    async with door(Caps(per_address=2), batched=batched) as port:
        kept = [await connect(port, "127.0.0.1") for _ in range(2)]
        assert [await is_served(one) for one in kept] == [True, True]
        refused = await connect(port, "127.0.0.1")
        assert not await is_served(refused)
        kept.append(await connect(port, "127.0.0.2"))
        assert await is_served(kept[-1])
        kept.append(await leave(port, kept.pop(0)))
        close([*kept, refused])


def test_nothing_is_remembered_of_an_address_that_left_or_was_refused() -> None:
    caps = Caps(total=1)
    assert caps.take("10.0.0.1")
    assert not caps.take("10.0.0.2")
    caps.give_back("10.0.0.1")
    assert caps == Caps(total=1)


@WAYS
async def test_a_malformed_head_is_answered_in_the_envelope(*, batched: bool) -> None:
    async with door(Caps(), batched=batched) as port:
        reader, writer = await connect(port)
        writer.write(b"nonsense\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WITHIN_S)
        assert answer.endswith(b'\r\n\r\n{"success":false,"error":{"message":"Malformed HTTP request"}}')
        writer.close()


@WAYS
async def test_who_is_answered_while_we_leave_is_told_that_the_connection_ends(*, batched: bool) -> None:
    async with door(Caps(), batched=batched, is_leaving=lambda: True) as port:
        reader, writer = await connect(port)
        writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WITHIN_S)
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()
