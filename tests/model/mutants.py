"""The rules, each of which can be taken away: a patch of the scripts' text or of the domain code."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.presence import service
from gateway.presence.calls import Calls
from gateway.presence.model import State, Target
from gateway.presence.ports import Grant
from gateway.presence.retries import Retries
from gateway.presence.service import CommandResult, Presence
from gateway.upstreams.breaker import Passage
from model.simulation import Node


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
        part = getattr(node.indicators, f"_{script}")
        assert part._source.count(old) == 1, f"the rule is not in {script}.lua as it was: {old}"
        part._source = part._source.replace(old, new)
        part._sha = _sha(part._source)

    return remove


def every_lua(old: str, new: str) -> Callable[[Node], None]:
    """Patch what the scripts share."""

    return _each(("promise", "settle", "claim_one", "claim_due", "sweep", "replay"), old, new)


def claiming(old: str, new: str) -> Callable[[Node], None]:
    """Patch what the scripts share that claim for a wake-up."""
    return _each(("claim_one", "claim_due"), old, new)


def _each(scripts: tuple[str, ...], old: str, new: str) -> Callable[[Node], None]:
    def remove(node: Node) -> None:
        for script in scripts:
            lua(script, old, new)(node)

    return remove


def code(name: str, replacement: Callable[..., Any]) -> Callable[[Node], None]:
    """Replace a method of the domain."""

    def remove(node: Node) -> None:
        assert hasattr(Presence, name)
        presence = node.presence
        setattr(presence, name, lambda *args, **kwargs: replacement(presence, *args, **kwargs))

    return remove


def calls(name: str, replacement: Callable[..., Any]) -> Callable[[Node], None]:
    """Replace a method of what calls the upstreams."""

    def remove(node: Node) -> None:
        assert hasattr(node.calls, name)
        setattr(node.calls, name, partial(replacement, node.calls))

    return remove


def retries(name: str, replacement: Callable[..., Any]) -> Callable[[Node], None]:
    """Replace a method of what takes steps again."""

    def remove(node: Node) -> None:
        for kept in (node.presence._retries, node.wakeups._retries):
            assert hasattr(kept, name)
            setattr(kept, name, partial(replacement, kept))

    return remove


def _sha(source: str) -> str:
    import hashlib

    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


async def _insist_once(self: Retries, step: Callable[[], Awaitable[Any]]) -> Any:
    return await step()


async def _tell_without_a_look_at_the_clock(self: Calls, instance: Any, grant: Grant) -> Any:
    return await Calls.send(self, instance, Grant(grant.key, grant.owner, grant.op, grant.deadline_s + 1e6))


async def _settle_command_once(self: Presence, grant: Grant, told: Any, wanted: Any) -> Any:
    return await self._indicators.settle_command(grant, told.report(self._monotonic()), wanted.lasts_ms, wanted.why)


async def _show_before_promising(
    self: Presence, instance: Any, chat: Any, state: State, seconds: int, **kw: Any
) -> Any:
    await self._calls.send_bare(instance, chat, state)
    return await Presence.show(self, instance, chat, state, seconds, **kw)


async def _forget(self: Presence, grant: Grant, duration_ms: int) -> None:
    return None


def _without_end(self: Presence, state: State, duration_s: int) -> Any:
    return service._Wanted(state, duration_s * 1000)


async def _message_forgotten(self: Presence, *_: Any, **__: Any) -> CommandResult:
    return CommandResult("nothing")


async def _message_of_now(self: Presence, instance: Any, chat: Any, **_: Any) -> CommandResult:
    return await Presence.message_sent(self, instance, chat)


def _never_again(self: Retries, step: Any) -> None:
    return None


def _no_memory(node: Node) -> None:
    node.presence._promises = None


def _no_sweeper(node: Node) -> None:
    async def nothing() -> int:
        return 0

    node.indicators.sweep = nothing  # type: ignore[method-assign]


def _no_retry(node: Node) -> None:
    node.wakeups._retry_ms = lambda *_: None  # type: ignore[method-assign]


def _no_breakers_of_its_own(node: Node) -> None:
    enter = node.breakers.enter

    def shared(target: Target, *, is_pause: bool) -> Passage | None:
        return enter(replace(target, account_id=""), is_pause=is_pause)

    node.breakers.enter = shared  # type: ignore[method-assign]


MUTANTS = (
    Mutant("promise before telling", code("show", _show_before_promising), kind="kills"),
    Mutant(
        "a provisional pause",
        lua("promise", "arm(rec, now + lease + duration, now_us)", ""),
        kind="kills",
        first_seed=140,
    ),
    Mutant(
        "lease for commands",
        lua("promise", "if rec.lease > now then\n", "if false then\n"),
        kind="stalls",
    ),
    Mutant("lease for wake-ups", claiming("if rec.lease > now then return 'busy', rec.lease end", ""), kind="queue"),
    Mutant("ticket", lua("promise", "elseif rec.ticket > ticket or", "elseif")),
    Mutant(
        "a ticket outlives no record",
        lua("promise", " or (why ~= 'message' and now_us - ticket > TOMBSTONE * 1000)", ""),
        kind="commands stopped",
        first_seed=689,
    ),
    Mutant(
        "echo after an unknown outcome",
        lua(
            "settle",
            "rec.state, rec.since, rec.doubt = op, now, math.max(rec.doubt, now + echo)",
            "rec.state, rec.since = op, now",
        ),
        kind="upstream",
    ),
    Mutant(
        "pause at once after an unknown outcome",
        lua("settle", "rec['until'], rec.sent = now, now\n", ""),
        first_seed=40,
    ),
    Mutant(
        "kept older pause",
        lua(
            "settle",
            "-- Rejected: the older indicator still shows and still owes its pause.",
            "if result == 'failed' then rec.state, rec['until'] = '', 0 end",
        ),
        kind="rejects",
        first_seed=25,
    ),
    Mutant(
        "lost-lease repair",
        lua("settle", "  repair()\n  return {'lost', -1}", "  return {'lost', -1}"),
        kind="stalls",
        first_seed=68,
    ),
    Mutant(
        "lost lease is noticed",
        lua("settle", "if rec.owner ~= owner and not was_lost then", "if false then"),
        kind="stalls",
    ),
    Mutant("sweeper", _no_sweeper),
    Mutant(
        "what a dead worker claimed comes back when its lease ends",
        claiming("QUEUE, rec.lease, job_id(gen)", "QUEUE, rec.lease + 1000, job_id(gen)"),
        kind="single worker killed",
    ),
    Mutant(
        "a look at the queue whose reply was lost is repeated",
        lua("claim_due", "local before = redis.call('GET', asked)", "local before = nil"),
        kind="single redis restarted at a claim",
    ),
    Mutant("pre-send check", calls("send", _tell_without_a_look_at_the_clock), kind="stalls", first_seed=288),
    Mutant("a failed pause is tried again", _no_retry, kind="upstream"),
    Mutant("settle retry", retries("until_done", _never_again), kind="single redis restarted", first_seed=150),
    Mutant(
        "a promise whose reply was lost is rolled back",
        code("_roll_back", _forget),
        kind="lost replies",
        first_seed=30,
    ),
    Mutant("what has no end ends by itself", code("_wanted", _without_end), kind="calm"),
    Mutant("a message ends what shows", code("message_sent", _message_forgotten), kind="messages"),
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
    ),
    Mutant(
        "a message's pause that failed is gone on with",
        lua("settle", "  if why == 'message' then", "  if false then"),
        kind="messages",
    ),
    Mutant(
        "a repeat calls nobody only for a refresh", lua("promise", "now - rec.sent < refresh", "true"), kind="repeats"
    ),
    Mutant("a repeat after a failed refresh is told", lua("promise", "rec.unsure == 0", "true"), kind="repeats"),
    Mutant("a wake-up insists", retries("insist", _insist_once), kind="single redis restarted at a claim"),
    Mutant(
        "adoption of a dead owner's promise",
        every_lua("    rec['until'] = rec.ends\n", ""),
        kind="kills",
        first_seed=14,
    ),
    Mutant(
        "adoption remembers the doubt",
        every_lua("if rec.op ~= 'paused' then rec.doubt = math.max(rec.doubt, rec.lease + echo) end", ""),
        kind="kills",
        first_seed=275,
    ),
    Mutant(
        "a promise that nobody waits for any more",
        lua("promise", "if now_us > tonumber(ARGV[9]) then return {'expired'} end", ""),
        kind="single redis stopped",
    ),
    Mutant(
        "a duration counts from its promise where the answer's age is stale",
        lua("settle", "math.min(answered, tonumber(ARGV[13]))", "answered"),
        kind="stalls",
        first_seed=200,
    ),
    Mutant("re-assertion after data loss", _no_memory, kind="single redis failover"),
    Mutant(
        "settle of a lost record",
        lua("settle", "rec.ticket < tonumber(ARGV[12])", "false"),
        kind="single redis failover",
        first_seed=81,
    ),
    Mutant(
        "a pause that was lost is said again where its chat was shown again meanwhile",
        lua("settle", "if not was_lost or rec.state == '' then", "if true then"),
        kind="single redis failover",
        first_seed=644,
    ),
    Mutant(
        "an account's share of a worker's places",
        lua("claim_due", "if not again and (held[whose] or 0) >= free then", "if false then"),
        kind="crowd",
    ),
    Mutant("breakers of its own for each account", _no_breakers_of_its_own, kind="crowd", first_seed=8),
    Mutant(
        "refreshes",
        every_lua("if rec.state ~= '' and at - rec.sent > life then at = math.min(at, rec.sent + refresh) end", ""),
        kind="calm",
    ),
    Mutant(
        "the pause is due at its time, not before",
        claiming(
            "if rec['until'] > 0 and rec['until'] <= now then op = 'paused' end",
            "if rec['until'] > 0 then op = 'paused' end",
        ),
    ),
)
