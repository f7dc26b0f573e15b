"""The rules, each of which can be taken away: a patch of the scripts' text or of the domain code."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.presence import ids
from gateway.presence.calls import Calls
from gateway.presence.model import State, Target
from gateway.presence.retries import Retries
from gateway.presence.service import CommandResult, Presence
from gateway.presence.steps import ChatKey, Grant
from gateway.presence.wanted import Wanted
from gateway.store import keys
from gateway.upstreams.breaker import Passage
from model.node import Node
from model.orders import BETWEEN, CUT_BETWEEN
from workers.rounds import _AGAIN_S, Rounds

AT_A_CLAIM = "single redis restarted at a claim"
LEAVES = "single worker leaves"


@dataclass(frozen=True)
class Mutant:
    """A rule of design section 4, and the world without it."""

    rule: str
    remove: Callable[[Node], None]
    kind: str | None = None
    first_seed: int = 0  # where to look first, so that CI is quick
    within_seeds: int = 400


def lua(script: str, old: str, new: str) -> Callable[[Node], None]:
    """Patch one of the scripts."""

    def remove(node: Node) -> None:
        part = node.scripts[script]
        assert part._source.count(old) == 1, f"the rule is not in {script}.lua as it was: {old}"
        part._source = part._source.replace(old, new)
        part._sha = _sha(part._source)

    return remove


def every_lua(old: str, new: str) -> Callable[[Node], None]:
    """Patch what the scripts share."""
    return _each(("promise", "settle", "claim", "replay"), old, new)


def waking(old: str, new: str) -> Callable[[Node], None]:
    """Patch what they share of when chats wake up."""
    return _each(("promise", "settle", "claim", "replay", "refreshed"), old, new)


def _each(scripts: tuple[str, ...], old: str, new: str) -> Callable[[Node], None]:
    def remove(node: Node) -> None:
        for script in scripts:
            lua(script, old, new)(node)

    return remove


def _method(of: Callable[[Node], Iterable[object]]) -> Callable[[str, Callable[..., Any]], Callable[[Node], None]]:
    """How a method of these objects is replaced."""

    def replaced(name: str, replacement: Callable[..., Any]) -> Callable[[Node], None]:
        def remove(node: Node) -> None:
            for one in of(node):
                assert hasattr(one, name)
                setattr(one, name, partial(replacement, one))

        return remove

    return replaced


code = _method(lambda node: [node.presence])
promising = _method(lambda node: [node.presence._promising])
calls = _method(lambda node: [node.calls])
retries = _method(lambda node: [node.presence._retries, node.wakeups._retries])
rounds = _method(lambda node: [node.rounds])


def _sha(source: str) -> str:
    import hashlib

    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


async def _insist_once(self: Retries, step: Callable[[], Awaitable[Any]]) -> Any:
    return await step()


async def _tell_without_a_look_at_the_clock(self: Calls, instance: Any, grant: Grant) -> Any:
    return await Calls.send(self, instance, Grant(grant.key, grant.owner, grant.op, grant.deadline_s + 1e6))


async def _show_before_promising(
    self: Presence, instance: Any, chat: Any, state: State, seconds: int, **kw: Any
) -> Any:
    await self._calls.send_bare(instance, chat, state)
    return await Presence.show(self, instance, chat, state, seconds, **kw)


async def _not_ahead(self: Presence, *_: Any, **__: Any) -> None:
    return None


def _promise_late(node: Node) -> None:
    code("show", _show_before_promising)(node)
    code("promise_ahead", _not_ahead)(node)


async def _forget(self: Presence, *_: Any) -> None:
    return None


async def _kept_ahead(self: Presence, ahead: Any) -> None:
    return None


def _settle_later(self: Presence, grant: Grant, told: Any, wanted: Any) -> Any:
    Presence._settle_behind(self, grant, told, wanted)
    return asyncio.ensure_future(asyncio.sleep(0))


def _without_end(self: Presence, state: State, duration_s: int) -> Any:
    return Wanted(state, duration_s * 1000)


async def _message_forgotten(self: Presence, *_: Any, **__: Any) -> CommandResult:
    return CommandResult("nothing")


async def _message_of_now(self: Presence, instance: Any, chat: Any, **_: Any) -> CommandResult:
    return await Presence.message_sent(self, instance, chat)


def _never_again(self: Retries, step: Any) -> None:
    return None


def _no_memory(node: Node) -> None:
    node.promises = node.presence._promises = None


def _memory_of_one_partition(node: Node) -> None:
    assert node.promises is not None
    promises, tell_all = node.promises, node.promises._tell_all

    async def tell_first(partitions: Collection[int]) -> int:
        kept = [keys.partition(key.instance_id) for key in promises._kept]
        return await tell_all([number for number in kept if number in partitions][:1])

    promises._tell_all = tell_first  # type: ignore[method-assign]


def _look_soon_if_told(self: Rounds, partition: int, in_s: float) -> None:
    """Look soon after a notice, and not after a look that was not answered."""
    if in_s < _AGAIN_S:
        Rounds._look_soon(self, partition, in_s)


async def _beat_alone(self: Rounds, mine: set[int]) -> None:
    await self._beat()


async def _claim_when_the_change_is_known(self: Rounds, some: Any, owner: str, change: Any) -> None:
    await change
    await Rounds._claim_some(self, some, owner, change)


async def _claim_under_a_new_name(self: Rounds, some: Any, owner: str, change: Any) -> None:
    await Rounds._claim_some(self, some, ids.fresh(), change)


def _learn_nothing_of_what_is_under_way(node: Node) -> None:
    schedule, learn = node.rounds._schedule, node.rounds._schedule.learn

    def ignore(chat: ChatKey, at_s: float, account_id: str) -> None:
        if chat not in schedule._under_way:
            learn(chat, at_s, account_id)

    schedule.learn = ignore  # type: ignore[method-assign]


def _look_seldom(node: Node) -> None:
    """Look at every fifth time only."""
    count, look = itertools.count(), node.rounds._look_at_all

    def seldom() -> None:
        if next(count) % 5 == 0:
            look()

    node.rounds._look_at_all = seldom  # type: ignore[method-assign]


def _deaf_and_look_seldom(node: Node) -> None:
    _look_seldom(node)
    if node.notices is not None:
        node.notices.said = lambda *_: None  # type: ignore[method-assign]


def _leave_without_a_word(node: Node) -> None:
    async def leave() -> None:
        return None

    node.registry.leave = leave  # type: ignore[method-assign]


def _no_retry(node: Node) -> None:
    node.wakeups._retry_ms = lambda *_: None  # type: ignore[method-assign]


def _no_shares(node: Node) -> None:
    def take(owner: str) -> bool:
        if node.places.free <= 0:
            return False
        node.places.free -= 1
        node.places._held[owner] += 1
        return True

    node.places.take = take  # type: ignore[method-assign]


def _no_breakers_of_its_own(node: Node) -> None:
    enter = node.breakers.enter

    def shared(target: Target, *, is_pause: bool) -> Passage | None:
        return enter(replace(target, account_id=""), is_pause=is_pause)

    node.breakers.enter = shared  # type: ignore[method-assign]


MUTANTS = (
    Mutant("promise before telling", _promise_late, kind="kills"),
    Mutant(
        "a provisional pause",
        lua("promise", "arm(rec, now + lease + duration, now_us)", ""),
        kind="kills",
    ),
    Mutant(
        "lease for commands",
        lua("promise", "if rec.lease > now then\n", "if false then\n"),
        kind="stalls",
    ),
    Mutant("a chat under way is nobody else's", lua("claim", "if held > now then return held end", ""), kind="workers"),
    Mutant(
        "a claim takes the lease",
        lua("claim", "redis.call('HSET', key, 'owner', owner, 'op', op, 'lease', now + lease)", ""),
        kind="workers",
    ),
    Mutant(
        "what was left by the dead is put right durably",
        lua("claim", "  redis.set_repl(redis.REPL_ALL)\n  local rec = load(key)", "  local rec = load(key)"),
        kind="left by the dead",
    ),
    Mutant(
        "a refresh that was sent leaves the doubt of what was sent before",
        lua("refreshed", "'unsure', 0, 'sent', sent", "'unsure', 0, 'doubt', 0, 'sent', sent"),
        kind="acts late",
    ),
    Mutant("the queue follows the first of an instance's chats", waking("  follow()\n  if at", "  if at"), kind="calm"),
    Mutant(
        "refreshes come rather early than late",
        waking("math.floor(at / GRID) * GRID", "math.ceil(at / GRID) * GRID"),
        kind="calm",
    ),
    Mutant("looks come before what nobody told of", _look_seldom, kind="calm"),
    Mutant("a notice that is lost is made up for by a look", _deaf_and_look_seldom, kind="single notices lost"),
    Mutant(
        "a look that was not answered is repeated soon",
        rounds("_look_soon", _look_soon_if_told),
        kind="single redis restarted",
        first_seed=30,
    ),
    Mutant(
        "what is learnt of a chat under way counts afterwards",
        _learn_nothing_of_what_is_under_way,
        kind=AT_A_CLAIM,
        first_seed=67,
    ),
    Mutant("a look goes a lease beyond the queue", lua("look", "ahead + tonumber(ARGV[4])", "ahead"), kind=BETWEEN),
    Mutant("what falls to a worker is looked at at once", rounds("_say", _beat_alone), kind=LEAVES, first_seed=17),
    Mutant("a worker says that it leaves", _leave_without_a_word, kind=LEAVES),
    Mutant(
        "chats do not wait for the primary that has the tenants",
        rounds("_claim_some", _claim_when_the_change_is_known),
        kind="single redis stopped",
        first_seed=8,
    ),
    Mutant("ticket", lua("promise", "elseif rec.ticket > ticket or", "elseif")),
    Mutant(
        "a ticket outlives no record",
        lua("promise", " or (why ~= 'message' and now_us - ticket > TOMBSTONE * 1000)", ""),
        kind="commands stopped",
        first_seed=26,
    ),
    Mutant(
        "echo after an unknown outcome",
        lua(
            "settle",
            "rec.state, rec.since, rec.doubt = op, now, math.max(rec.doubt, now + echo)",
            "rec.state, rec.since = op, now",
        ),
        kind="upstream",
        first_seed=11,
    ),
    Mutant(
        "pause at once after an unknown outcome",
        lua("settle", "rec['until'], rec.sent = now, now\n", ""),
        first_seed=36,
    ),
    Mutant(
        "kept older pause",
        lua(
            "settle",
            "-- Rejected: the older indicator still shows and still owes its pause.",
            "if result == 'failed' then rec.state, rec['until'] = '', 0 end",
        ),
        kind="rejects",
        first_seed=4,
    ),
    Mutant(
        "lost-lease repair",
        lua("settle", "  repair()\n  return {'lost', -1}", "  return {'lost', -1}"),
        kind="stalls",
        first_seed=8,
    ),
    Mutant(
        "lost lease is noticed",
        lua("settle", "if rec.owner ~= owner and not was_lost then", "if false then"),
        kind="stalls",
    ),
    Mutant(
        "what a dead worker claimed comes back when its lease ends",
        lua("claim", "wake_at(now + lease, now)", "wake_at(now + lease + 1000, now)"),
        kind="single worker killed",
        first_seed=14,
    ),
    Mutant(
        "a claim whose reply was lost is repeated under its own name",
        rounds("_claim_some", _claim_under_a_new_name),
        kind="single redis cut off",
    ),
    Mutant(
        "what was told counts from its promise where the settlement is late",
        lua("settle", "math.min(now - told, answered_by)", "now - told"),
        kind="single redis cut off",
        first_seed=273,
    ),
    Mutant("pre-send check", calls("send", _tell_without_a_look_at_the_clock), kind="stalls", first_seed=75),
    Mutant("a failed pause is tried again", _no_retry, kind="upstream"),
    Mutant("settle retry", retries("until_done", _never_again), kind="single redis restarted", first_seed=69),
    Mutant("a promise whose reply was lost is rolled back", promising("_roll_back", _forget), kind="lost replies"),
    Mutant("what has no end ends by itself", code("_wanted", _without_end), kind="calm", first_seed=5),
    Mutant("a message ends what shows", code("message_sent", _message_forgotten), kind="messages", first_seed=22),
    Mutant(
        "a message that came while redis was away ends it afterwards",
        code("_end_later", _message_forgotten),
        kind="a message while redis is away",
    ),
    Mutant(
        "a message is as old as it is reported to be",
        code("message_sent", _message_of_now),
        kind="a message reported late",
    ),
    Mutant(
        "a message may be reported later than a ticket lasts",
        lua("promise", "why ~= 'message' and ", ""),
        kind="a message reported late",
        first_seed=18,
    ),
    Mutant(
        "a message's pause that failed is gone on with",
        lua("settle", "  if why == 'message' then", "  if false then"),
        kind="messages",
        first_seed=4,
    ),
    Mutant(
        "a repeat calls nobody only for a refresh",
        lua("promise", "now - rec.sent < refresh", "true"),
        kind="repeats",
        first_seed=7,
    ),
    Mutant(
        "a repeat after a failed refresh is told",
        lua("promise", "rec.unsure == 0", "true"),
        kind="repeats",
        first_seed=5,
    ),
    Mutant("a wake-up insists", retries("insist", _insist_once), kind=CUT_BETWEEN),
    Mutant(
        "a promise ahead whose reply was lost is made again",
        lua("promise", " and rec.owner ~= owner then return {'unclear'}", " then return {'unclear'}"),
        kind="lost replies",
        first_seed=45,
    ),
    Mutant(
        "a command that failed is settled before its caller hears of it",
        code("_settle_behind", _settle_later),
        kind="rejects",
        first_seed=72,
    ),
    Mutant("a promise ahead of a caller who is refused is withdrawn", code("withdraw", _kept_ahead)),
    Mutant(
        "adoption of a dead owner's promise",
        every_lua("    rec['until'], rec.obeyed = rec.ends, rec.ticket\n", ""),
        kind="kills",
    ),
    Mutant(
        "adoption remembers the doubt",
        every_lua("if rec.op ~= 'paused' then rec.doubt = math.max(rec.doubt, rec.lease + echo) end", ""),
        kind="kills",
        first_seed=44,
    ),
    Mutant(
        "a promise that nobody waits for any more",
        lua("promise", "if now_us > tonumber(ARGV[9]) then return {'expired'} end", ""),
        kind="single redis stopped",
        first_seed=11,
    ),
    Mutant(
        "a duration counts from its promise where the answer's age is stale",
        lua("settle", "math.min(answered, answered_by)", "answered"),
        kind="stalls",
        first_seed=11,
    ),
    Mutant("re-assertion after data loss", _no_memory, kind="single redis failover"),
    Mutant("re-assertion of every partition", _memory_of_one_partition, kind="single redis failover", first_seed=72),
    Mutant(
        "a command that waited, and was lost but for its place in the line, is said again",
        lua("replay", "if rec.obeyed >= ticket", "if rec.ticket >= ticket"),
        kind="single redis failover",
        first_seed=155,
    ),
    Mutant(
        "a command that failed hides no promise that was lost",
        lua("settle", "local changed = result ~= 'failed' or why == 'message'", "local changed = true"),
        kind="rejected while redis fails over",
        first_seed=4,
    ),
    Mutant(
        "settle of a lost record",
        lua("settle", "rec.obeyed < ticket", "false"),
        kind="single redis failover",
        first_seed=69,
    ),
    Mutant(
        "a pause that was lost is said again where its chat was shown again meanwhile",
        lua("settle", "if not was_lost or rec.state == '' then", "if true then"),
        kind="paused while redis fails over",
    ),
    Mutant(
        "an account's share of a worker's places",
        _no_shares,
        kind="crowd",
    ),
    Mutant("breakers of its own for each account", _no_breakers_of_its_own, kind="crowd", first_seed=6),
    Mutant(
        "refreshes",
        waking("if ends - sent <= life or at >= ends then return ends end", "if true then return ends end"),
        kind="calm",
    ),
    Mutant(
        "the pause is due at its time, not before",
        lua("claim", "if ends > 0 and ends <= now then op = 'paused' end", "if ends > 0 then op = 'paused' end"),
    ),
)
