"""What each connection is held to, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.process.caps import Caps
from gateway.process.server import listening

WITHIN_S = 5.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def greet(_: web.Request) -> web.Response:
    return web.Response(text="in")


async def think(request: web.Request) -> web.Response:
    """Wait for a body that comes in pieces, and a moment longer."""
    body = await request.text()
    await asyncio.sleep(0.3)
    return web.Response(text=body)


@asynccontextmanager
async def door(
    caps: Caps | None = None,
    *,
    head_timeout_s: float = 5.0,
    is_leaving: Callable[[], bool] = lambda: False,
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/", greet)
    app.router.add_post("/slow", think)
    async with listening(
        app,
        "0.0.0.0",
        0,
        caps=caps,
        head_timeout_s=head_timeout_s,
        is_leaving=is_leaving,
        keepalive_timeout=60,
        shutdown_timeout=0.1,
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


async def is_cut_off(connection: Connection) -> bool:
    """Whether the other end closes within the time that a test may take."""
    try:
        return await asyncio.wait_for(connection[0].read(1), WITHIN_S) == b""
    except ConnectionError:
        return True


async def test_one_connection_too_many_is_closed_and_gets_in_when_another_leaves() -> None:
    async with door(Caps(total=3)) as port:
        kept = [await connect(port, source) for source in ("127.0.0.1", "127.0.0.1", "127.0.0.2")]
        assert [await is_served(one) for one in kept] == [True, True, True]
        refused = await connect(port, "127.0.0.3")
        assert not await is_served(refused)
        assert [await is_served(one) for one in kept] == [True, True, True]
        kept.append(await leave(port, kept.pop(), "127.0.0.3"))
        close([*kept, refused])


async def test_one_address_alone_holds_half_and_leaves_the_rest_to_others() -> None:
    async with door(Caps(total=8)) as port:
        flood = [await connect(port, "127.0.0.9") for _ in range(20)]
        served = [await is_served(one) for one in flood]
        assert served == [True] * 4 + [False] * 16
        others = [await connect(port, source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]
        assert [await is_served(one) for one in others] == [True, True, True]
        close([*flood, *others])


async def test_an_address_that_has_its_share_leaves_room_for_another() -> None:
    async with door(Caps(per_address=2)) as port:
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
    assert (dict(caps._shares.held), caps._shares.free) == ({}, 1)


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_who_is_one_client(one: str, other: str, are_one: bool) -> None:
    caps = Caps(per_address=1)
    assert caps.take(one)
    assert caps.take(other) is not are_one


async def test_a_malformed_head_is_answered_in_the_envelope() -> None:
    async with door(Caps()) as port:
        reader, writer = await connect(port)
        writer.write(b"nonsense\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WITHIN_S)
        assert answer.endswith(b'\r\n\r\n{"success":false,"error":{"message":"Malformed HTTP request"}}')
        writer.close()


async def test_who_is_answered_while_we_leave_is_told_that_the_connection_ends() -> None:
    async with door(Caps(), is_leaving=lambda: True) as port:
        reader, writer = await connect(port)
        writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WITHIN_S)
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()


async def test_a_head_that_never_ends_is_cut_off_however_it_trickles_in() -> None:
    async with door(head_timeout_s=0.5) as port:
        silent, partial, trickling = [await connect(port) for _ in range(3)]
        partial[1].write(b"GET / HT")
        began = asyncio.get_running_loop().time()
        for byte in b"GET / HTTP/1.1\r\nHost: " + b"x" * 1000:
            trickling[1].write(bytes([byte]))
            await asyncio.sleep(0.02)
            if trickling[0].at_eof():
                break
        assert 0.4 < asyncio.get_running_loop().time() - began < 3
        assert [await is_cut_off(one) for one in (silent, partial, trickling)] == [True, True, True]
        close([silent, partial, trickling])


async def test_the_head_of_a_later_request_is_bounded_too() -> None:
    async with door(head_timeout_s=0.3) as port:
        connection = await connect(port)
        assert await is_served(connection)
        connection[1].write(b"GET / HT")
        assert await is_cut_off(connection)
        close([connection])


async def test_a_connection_that_idles_after_an_answer_and_a_slow_request_are_left_alone() -> None:
    async with door(head_timeout_s=0.2) as port:
        connection = await connect(port)
        assert await is_served(connection)
        await asyncio.sleep(0.4)
        reader, writer = connection
        writer.write(b"POST /slow HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4\r\n\r\n")
        for byte in b"slow":
            await asyncio.sleep(0.1)
            writer.write(bytes([byte]))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(4) == b"slow"
        assert await is_served(connection)
        close([connection])
