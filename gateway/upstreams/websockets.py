"""Carries a WebSocket's messages both ways until one side ends it; the other is told why."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from gateway.upstreams.starring import Stars

CallersSide = web.WebSocketResponse[bool]
UpstreamsSide = aiohttp.ClientWebSocketResponse[bool]
Side = CallersSide | UpstreamsSide

_IN_A_ROW = 16
"""Messages that are carried before others have their turn: a side that floods would never give the loop back."""

_SAYABLE = range(1000, 5000)
_NEVER_SENT = {1004, 1005, 1006, 1015}


class Ending(NamedTuple):
    """Why a side ended, as a close frame says it; 1005 where it gave no reason, 1006 where it just went."""

    code: int
    reason: bytes = b""

    def said_by(self, other_code: int) -> "Ending":
        """Return what the other side is told; `other_code` in place of what no frame may say."""
        if self.code == WSCloseCode.ABNORMAL_CLOSURE:
            return Ending(other_code)
        is_sayable = self.code in _SAYABLE and self.code not in _NEVER_SENT
        return self if is_sayable else Ending(WSCloseCode.OK)


class MessageRate:
    """So many messages a second, of all that share it; what is more waits, and whoever sends it with it."""

    def __init__(self, per_s: float) -> None:
        """Let a second's worth through at once."""
        self._loop = asyncio.get_running_loop()
        self._every_s = 1 / per_s
        self._due_s = 0.0
        self._in_a_row = 0

    async def take(self) -> None:
        """Wait for one message's turn."""
        now_s = self._loop.time()
        self._due_s = max(self._due_s, now_s - 1) + self._every_s
        self._in_a_row += 1
        if self._due_s > now_s:
            await asyncio.sleep(self._due_s - now_s)
        elif self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)


async def relay(
    caller: CallersSide,
    upstream: UpstreamsSide,
    stars: Stars,
    rate: MessageRate,
    refusal: Callable[[], Awaitable[None]],
) -> None:
    """Carry messages until a side ends, or until `refusal` returns: from then on the caller may not read on."""
    ends = {
        asyncio.create_task(_carry(caller, upstream, rate)): WSCloseCode.GOING_AWAY,
        asyncio.create_task(_carry(upstream, caller, rate, stars)): WSCloseCode.BAD_GATEWAY,
        asyncio.create_task(_refused(refusal)): WSCloseCode.POLICY_VIOLATION,
    }
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            task.cancel()
        await asyncio.wait(ends)
    ended = done.pop()
    ending = ended.result().said_by(ends[ended])
    await asyncio.gather(_close(caller, ending, stars), _close(upstream, ending, stars))


async def _carry(source: Side, sink: Side, rate: MessageRate, stars: Stars | None = None) -> Ending:
    """Carry one way, waiting for whoever reads there; how the source ended."""
    while True:
        message = await source.receive()
        await rate.take()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                data = stars.whole(message.data) if stars else message.data
                if not await _sent(sink, data, message.type):
                    return Ending(WSCloseCode.ABNORMAL_CLOSURE)
            case WSMsgType.PING:
                await _sent(source, message.data, WSMsgType.PONG)
            case WSMsgType.PONG:
                pass
            case WSMsgType.CLOSE:
                return Ending(message.data or 1005, str(message.extra or "").encode())
            case WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                return Ending(message.data.code)
            case _:
                return Ending(WSCloseCode.ABNORMAL_CLOSURE)


async def _sent(sink: Side, data: bytes, kind: WSMsgType) -> bool:
    try:
        await sink.send_frame(data, kind)
    except (aiohttp.ClientError, ConnectionError):
        return False
    return True


async def _refused(refusal: Callable[[], Awaitable[None]]) -> Ending:
    await refusal()
    return Ending(WSCloseCode.POLICY_VIOLATION)


async def _close(side: Side, ending: Ending, stars: Stars) -> None:
    await side.close(code=ending.code, message=stars.whole(ending.reason))
