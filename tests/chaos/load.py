"""A steady load and its oracle: they know only HTTP, the commands they sent, and what the sandbox says it was told."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any, Self

import aiohttp

CLOCK_S = 0.01
"""Two processes read one clock at two instants."""

_TIMEOUT_S = 15.0
_MET_S = 2
"""Workers that have just begun know of each other within a second."""


@dataclass
class Sent:
    """One command; `answered` is None where no answer came."""

    chat: str
    seconds: int
    at: float
    instance: str
    answered: int | None = None
    answered_at: float = 0.0


@dataclass
class Verdict:
    """A row's figures."""

    commands: int = 0
    promised: int = 0
    refused: int = 0
    unanswered: int = 0
    delivered: int = 0
    stuck: int = 0
    early: int = 0
    duplicated: int = 0
    worst_late_s: float = 0.0
    slowest_refusal_s: float = 0.0
    last_refused_at: float = 0.0
    refused_late_s: float = 0.0
    spared_late_s: list[float] = field(default_factory=list)
    spared_refused: int = 0
    answers: dict[int, int] = field(default_factory=dict)

    @property
    def spared_p99_s(self) -> float:
        """How late the spared were; as late as can be where there are none."""
        return sorted(self.spared_late_s)[ceil(len(self.spared_late_s) * 0.99) - 1] if self.spared_late_s else inf


class Load:
    """Clients of two gateways behind what a balancer does: where one refuses the connection, the other is asked."""

    def __init__(
        self, urls: list[str], sandbox_url: str, token: str, seed: int = 1, instances: Sequence[str] = ("a", "b")
    ) -> None:
        self._urls, self._sandbox_url, self._token = urls, sandbox_url, token
        self._instances = instances
        self.spared: frozenset[str] = frozenset()  # instances that the fault is no concern of
        self._dice = random.Random(seed)
        self._chats = self._dice.randrange(10**8)
        self._since = 0
        self.sent: list[Sent] = []

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )
        calls = await self._calls()
        self._since = calls[-1]["n"] if calls else 0
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def meet_all(self) -> None:
        """Let every instance show something, so that whoever looks after it has met it."""
        await asyncio.gather(*(self._chat(_MET_S, instance) for instance in self._instances))
        await asyncio.sleep(_MET_S + 0.5)

    async def run(self, seconds: float, per_second: float, durations: tuple[int, ...] = (1, 2, 3, 7)) -> None:
        """Send for so long at so much, and return when every answer is there."""
        tasks: list[asyncio.Task[None]] = []
        began, number = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            due = began + number / per_second
            if due > now:
                await asyncio.sleep(due - now)
            number += 1
            tasks.append(
                asyncio.create_task(self._chat(self._dice.choice(durations), self._dice.choice(self._instances)))
            )
        await asyncio.gather(*tasks)

    async def _chat(self, seconds: int, instance: str) -> None:
        """One chat: a command, and for some a newer one before the first has ended."""
        self._chats += 1
        chat = f"5511{self._chats:09}"
        await self._command(chat, instance, seconds)
        if self._dice.random() < 0.25:
            await asyncio.sleep(self._dice.uniform(0.1, 0.9))
            await self._command(chat, instance, self._dice.choice((1, 2, 3)))

    async def _command(self, chat: str, instance: str, seconds: int) -> None:
        sent = Sent(f"{chat}@s.whatsapp.net", seconds, time.time(), instance)
        self.sent.append(sent)
        body = {"number": chat, "state": "typing", "duration": seconds}
        for url in self._dice.sample(self._urls, len(self._urls)):
            try:
                async with self._http.post(
                    f"{url}/api/chat/presence/{instance}", json=body, headers={"token": self._token}
                ) as response:
                    await response.read()
                    sent.answered, sent.answered_at = response.status, time.time()
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError):
                pass
            return

    async def _calls(self) -> list[dict[str, Any]]:
        async with self._http.get(f"{self._sandbox_url}/calls", params={"since": self._since}) as response:
            calls: list[dict[str, Any]] = (await response.json())["calls"]
            return calls

    async def fault(self, kind: str, **details: object) -> None:
        for instance in self._instances:
            order = {"instance": instance, "fault": kind, **details}
            async with self._http.post(f"{self._sandbox_url}/faults", json=order) as response:
                assert response.status == 200, await response.text()

    async def clear_faults(self) -> None:
        async with self._http.delete(f"{self._sandbox_url}/faults") as response:
            assert response.status == 200

    async def settle(self, within_s: float) -> Verdict:
        """Wait until every chat that was told anything is paused, or the time is up; then judge."""
        deadline = time.monotonic() + within_s
        longest = max((sent.at + sent.seconds for sent in self.sent), default=0.0)
        while True:
            verdict = self._judge(await self._calls())
            over = time.time() > longest + 0.5 and not verdict.stuck and verdict.delivered == verdict.promised
            if over or time.monotonic() > deadline:
                return verdict
            await asyncio.sleep(0.2)

    def _judge(self, calls: list[dict[str, Any]]) -> Verdict:
        told: dict[str, list[tuple[float, str]]] = {}
        for call in calls:
            told.setdefault(str(call["chat"]), []).append((float(call["at"]), str(call["state"])))
        verdict = Verdict(commands=len(self.sent))
        newest: dict[str, Sent] = {}
        for sent in self.sent:
            if sent.answered == 200:
                verdict.promised += 1
                newest[sent.chat] = sent
            elif sent.answered is None:
                verdict.unanswered += 1
                newest.pop(sent.chat, None)
            else:
                verdict.refused += 1
                verdict.slowest_refusal_s = max(verdict.slowest_refusal_s, sent.answered_at - sent.at)
                verdict.last_refused_at = max(verdict.last_refused_at, sent.at)
                verdict.spared_refused += sent.instance in self.spared
            if sent.answered is not None:
                verdict.answers[sent.answered] = verdict.answers.get(sent.answered, 0) + 1
        verdict.promised = len({sent.chat for sent in self.sent if sent.answered == 200})
        commands = Counter(sent.chat for sent in self.sent)
        last = {sent.chat: sent for sent in self.sent}
        for chat, sequence in told.items():
            verdict.stuck += sequence[-1][1] != "paused"
            pauses = sum(state == "paused" for _, state in sequence)
            verdict.duplicated += max(0, pauses - commands[chat])
        for chat in {sent.chat for sent in self.sent if sent.answered == 200}:
            verdict.delivered += bool(told.get(chat)) and told[chat][-1][1] == "paused"
        for chat, sent in newest.items():
            if sent is not last[chat]:
                continue  # a newer one was refused or not answered: nobody can say which of them holds
            self._time(sent, told.get(chat, []), verdict)
        return verdict

    def _time(self, sent: Sent, sequence: list[tuple[float, str]], verdict: Verdict) -> None:
        # Until its answer nothing newer was told, so the last telling before it is this command's own.
        shown = [at for at, state in sequence if state == "typing" and sent.at <= at <= sent.answered_at]
        paused = [at for at, state in sequence if state == "paused" and shown and at >= shown[-1]]
        if not paused:
            return
        due = shown[-1] + sent.seconds - CLOCK_S
        verdict.early += paused[0] < due
        ended = [at for at in paused if at >= due]
        if ended:
            late_s = ended[0] - sent.answered_at - sent.seconds
            verdict.worst_late_s = max(verdict.worst_late_s, late_s)
            if sent.instance in self.spared:
                verdict.spared_late_s.append(late_s)
