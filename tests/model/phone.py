"""The upstreams, and what their phones show."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.presence.model import Chat, Outcome, State, Target
from gateway.presence.steps import ChatKey, RefreshPolicy
from model.events import CURRENT, Command, Telling, Wake, name_of

if TYPE_CHECKING:
    from model.node import Node
    from model.simulation import World

UPSTREAM_TIMEOUT_S = 4.5
LATEST_S = 9.5
"""So long after it was given up, an upstream may still act: less than an echo waits for."""

SLUGGISH_S = (0.1, 0.6)
"""How long an upstream takes that is in no hurry, and well."""

REFRESH_POLICY = RefreshPolicy(4.0, 5.5)


@dataclass
class Phone:
    """`ports.Upstreams`: one process's calls to the upstreams."""

    world: "World"
    node: "Node"

    def refresh_policy(self, target: Target) -> RefreshPolicy:
        return REFRESH_POLICY

    async def rest(self, target: Target, *, timeout_s: float) -> Outcome:
        return Outcome.UNSUPPORTED

    async def send(self, target: Target, chat: Chat, state: State, *, timeout_s: float) -> Outcome:
        world, node = self.world, self.node
        doing = CURRENT.get()
        by = doing if isinstance(doing, Command) else None
        passage = node.breakers.enter(target, is_pause=state is State.PAUSED)
        if passage is None:
            world.say(f"{node.name}: leaves {chat.user} {state} alone ({name_of(doing)})")
            return self._answered(by, Outcome.UNAVAILABLE)
        with passage:
            outcome = await self._tell(target, chat, state, doing, timeout_s)
            if outcome in {Outcome.UNKNOWN, Outcome.UNAVAILABLE}:
                passage.ended(outcome)
            else:
                passage.answered()
        return self._answered(by, outcome)

    def _answered(self, by: Command | None, outcome: Outcome) -> Outcome:
        if by is not None:
            by.answered_at, by.outcome = self.world.now, outcome
        return outcome

    async def _tell(
        self, target: Target, chat: Chat, state: State, doing: Command | Wake | None, timeout_s: float
    ) -> Outcome:
        world, node, dice = self.world, self.node, self.world.dice
        by = doing if isinstance(doing, Command) else None
        telling = Telling(len(world.tellings), ChatKey(target.session, chat), state, by, world.now)
        telling.claimed_at = doing.claimed_at if isinstance(doing, Wake) else world.now
        await node.edge(f"tell {state} before")
        telling.sent_at = world.now
        world.tellings.append(telling)
        outcome, answer_s, apply_s = self._fate(target.session, timeout_s)
        for after_s in apply_s:
            world.applying += 1
            world.loop.call_at(world.now + after_s, self._apply, telling)
        world.say(f"{node.name}: tells {chat.user} {state} ({name_of(doing)}): {outcome}")
        await asyncio.sleep(answer_s)
        await node.edge(f"tell {state} after")
        if outcome is Outcome.OK and world.now - telling.sent_at > timeout_s and dice.random() < 0.5:
            outcome = Outcome.UNKNOWN
        telling.answered_at, telling.outcome = world.now, outcome
        return outcome

    def _fate(self, instance: str, timeout_s: float) -> tuple[Outcome, float, list[float]]:  # noqa: C901, PLR0911 - a table
        """What becomes of one call: its outcome, when that is known, and when it takes effect."""
        world, dice = self.world, self.world.dice
        quick = dice.uniform(0.001, 0.008)
        how = next((w[2] for w in world.faults.upstream if w[3] == instance and w[0] <= world.now < w[1]), "")
        if how == "flaps":
            how = dice.choice(("", "rejects", "hangs", "lost_reply", "late", "slow"))
        match how:
            case "":
                return Outcome.OK, 2 * quick, [quick]
            case "rejects":
                return Outcome.REJECTED, quick, []
            case "down":
                return Outcome.UNAVAILABLE, quick, []
            case "not_connected":
                return Outcome.NOT_CONNECTED, quick, []
            case "hangs":
                return Outcome.UNKNOWN, timeout_s, []
            case "lost_reply":
                return Outcome.UNKNOWN, dice.choice((quick * 2, timeout_s)), [quick]
            case "sluggish":
                wait = dice.uniform(*SLUGGISH_S)
                return Outcome.OK, wait, [dice.uniform(0.001, wait)]
            case "slow":
                wait = dice.uniform(0.1, 4.4)
                apply = dice.uniform(0.001, wait)
                return (Outcome.UNKNOWN, timeout_s, [apply]) if wait > timeout_s else (Outcome.OK, wait, [apply])
            case "late":
                # It acts long after we gave up, within the time that an echo waits for.
                return Outcome.UNKNOWN, timeout_s, [timeout_s + dice.uniform(0, LATEST_S)]
            case _:
                raise AssertionError(how)

    def _apply(self, telling: Telling) -> None:
        self.world.applying -= 1
        telling.applied_at.append(self.world.now)
        self.world.say(f"        phone {telling.chat.instance_id}/{telling.chat.chat.user} shows {telling.state}")
