"""`presence-gateway doctor`: follow the way of a presence to its upstream, and say where it ends."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer

from gateway.commands.installation import CommandFailed, with_services
from gateway.commands.printing import Json, print_json, print_table
from gateway.presence.errors import InstanceNotFound
from gateway.presence.model import Instance, Outcome
from gateway.store.redis import command
from gateway.tenants.directory import RedisDirectory
from gateway.upstreams.base import Connection
from gateway.upstreams.client import Examination
from gateway.wiring import Services

_SKEW_MS = 250
"""Clocks further apart than this make pauses late, or workers wait for them."""

Verdict = Literal["ok", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    detail: str


def doctor(
    context: typer.Context,
    *,
    instance: Annotated[str, typer.Option("--instance", metavar="NAME", help="The instance's name or id.")],
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Whose, where several have one of that name.")] = "",
    as_json: Json = False,
) -> None:
    """Check one instance for real: Redis, clocks, its upstream reached, its credential accepted, its session connected.

    Exits with 1 where something is bad.
    """

    async def examine(services: Services) -> list[Finding]:
        found = await _find(services.directory, instance, account)
        clock, examination = await asyncio.gather(_clock(services), services.upstreams.examine(found.target))
        return [clock, *(look(examination) for look in _LOOKS)]

    findings = with_services(context, examine)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        print_table(("check", "", "found"), [(f.check, f.verdict, f.detail) for f in findings], empty="")
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


async def _find(directory: RedisDirectory, name: str, account: str) -> Instance:
    """Return the instance of that name or id, of the account where one is named.

    Raises:
        InstanceNotFound: there is none.
        CommandFailed: several accounts have one.
    """
    owners = [await directory.find_account(account)] if account else [owner.id for owner in await directory.accounts()]
    every = [found for owner in owners for found in await directory.instances(owner)]
    fitting = [found for found in every if name in {found.name, found.id}]
    if not fitting:
        raise InstanceNotFound
    if len(fitting) > 1:
        raise CommandFailed(f"several accounts have an instance {name}; say whose with --account")
    return fitting[0]


async def _clock(services: Services) -> Finding:
    """Compare with Redis' clock, which all times come from; half of the round trip is taken off."""
    before = time.time()
    seconds, microseconds = await command(services.redis, "TIME")
    skew_ms = ((before + time.time()) / 2 - int(seconds) - int(microseconds) / 1e6) * 1000
    verdict: Verdict = "ok" if abs(skew_ms) < _SKEW_MS else "bad"
    return Finding("clock", verdict, f"this machine is {skew_ms:+.0f} ms from Redis")


def _reached(examination: Examination) -> Finding:
    if examination.status is not None:
        return Finding("upstream reached", "ok", f"it answered {examination.status}")
    if examination.outcome is None:
        return Finding("upstream reached", "unknown", "this kind of upstream cannot be asked")
    return Finding("upstream reached", "bad", _SILENCE.get(examination.outcome, "no answer that could be read"))


_SILENCE = {
    Outcome.UNAVAILABLE: "no connection: is the URL right, and is it running?",
    Outcome.UNKNOWN: "connected, but no answer in time",
    Outcome.REJECTED: "the URL or the credential cannot be sent",
    Outcome.SEALED: "not called: no key in [secrets] encryption_keys opens the stored credential",
}


def _accepted(examination: Examination) -> Finding:
    if examination.status is None:
        return Finding("credential accepted", "unknown", "not asked")
    if examination.outcome is Outcome.UNAUTHORIZED:
        return Finding(
            "credential accepted", "bad", "it was refused: give the right one in PRESENCE_UPSTREAM_CREDENTIAL"
        )
    return Finding("credential accepted", "ok", "it was not refused")


def _connected(examination: Examination) -> Finding:
    verdict: Verdict = "bad"
    if examination.connection in {Connection.CONNECTED, Connection.UNKNOWN}:
        verdict = "ok" if examination.connection is Connection.CONNECTED else "unknown"
    return Finding("session connected", verdict, examination.connection.value)


_LOOKS: tuple[Callable[[Examination], Finding], ...] = (_reached, _accepted, _connected)
