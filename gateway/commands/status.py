"""`presence-gateway status`: what the dashboards show, for people: is the promise kept, by whom, on which Redis."""

import asyncio
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from math import isnan
from typing import Any

import aiohttp
import typer
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gateway.commands.installation import with_services
from gateway.commands.printing import Json, print_json, print_table
from gateway.store.problems import problems
from gateway.store.process_registry import Process
from gateway.telemetry.gauges import Health
from gateway.wiring import Services

_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A process of the processes, and what its operator's port says; no samples where it does not answer."""

    member: Process
    is_ready: bool = False
    samples: tuple[Sample, ...] = ()

    def total(self, name: str, **labels: str) -> int:
        """Sum the samples of this name that carry these labels; 0 where there is none, or none is a number."""
        return round(
            sum(
                sample.value
                for sample in self.samples
                if sample.name == name and not isnan(sample.value) and labels.items() <= sample.labels.items()
            )
        )


def status(context: typer.Context, *, as_json: Json = False) -> None:
    """Show how the installation is. Exits with 1 where something needs a person."""
    health, seen = with_services(context, _look)
    found = _problems(health, seen)
    if as_json:
        print_json(
            {
                "ok": not found,
                "problems": found,
                "backlog": asdict(health.backlog),
                "redis": {name: value for name, value in asdict(health).items() if name != "backlog"},
                "totals": _totals(seen),
                "processes": [_as_json(process) for process in seen],
            }
        )
    else:
        _print(health, seen, found)
    if found:
        raise typer.Exit(1)


async def _look(services: Services) -> tuple[Health, list[Seen]]:
    # Whoever can write to Redis chooses these addresses: they are sent no key, need none, and lead nowhere else.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as session:
        members = await services.processes.present()
        seen = await asyncio.gather(*(_visit(session, member) for member in members))
    return await services.health.look(), seen


async def _visit(session: aiohttp.ClientSession, member: Process) -> Seen:
    try:
        async with (
            session.get(f"{member.url}/metrics", allow_redirects=False) as metrics,
            session.get(f"{member.url}/readyz", allow_redirects=False) as ready,
        ):
            told = await metrics.text() if metrics.status == HTTPStatus.OK else ""
            samples = tuple(sample for family in text_string_to_metric_families(told) for sample in family.samples)
            return Seen(member, ready.status == HTTPStatus.OK, samples)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return Seen(member)


def _problems(health: Health, seen: list[Seen]) -> list[str]:
    """Say what needs a person, worst first; what a process does not answer of itself comes last."""
    found = list(problems(health, {process.member.role for process in seen}))
    found += [f"{_name(process)} does not answer at {process.member.url}" for process in seen if not process.samples]
    return found + [f"{_name(process)} is not ready" for process in seen if process.samples and not process.is_ready]


def _totals(seen: list[Seen]) -> dict[str, int]:
    counters: dict[str, tuple[str, dict[str, str]]] = {
        "requests": ("presence_http_requests_total", {}),
        "commands_shown": ("presence_commands_total", {"outcome": "shown"}),
        "rate_limited": ("presence_rate_limit_decisions_total", {"decision": "refused"}),
        "unknown_tokens": ("presence_auth_total", {"result": "unknown"}),
        "pauses": ("presence_pauses_total", {"result": "paused"}),
        "pauses_failed": ("presence_pauses_total", {"result": "pause_failed"}),
        "pauses_abandoned": ("presence_pauses_total", {"result": "abandoned"}),
        "pauses_within_250_ms": ("presence_pause_lateness_seconds_bucket", {"le": "0.25"}),
        "refreshes": ("presence_refreshes_total", {}),
        "redis_errors": ("presence_redis_errors_total", {}),
        "credentials_refused": ("presence_upstream_credential_refused_total", {}),
        "circuits_open": ("presence_upstream_circuits_open", {}),
    }
    return {title: sum(process.total(name, **labels) for process in seen) for title, (name, labels) in counters.items()}


def _as_json(process: Seen) -> dict[str, Any]:
    member = process.member
    return {
        "role": member.role,
        "host": member.host,
        "pid": member.pid,
        "url": member.url,
        "version": member.version,
        "up_s": round(time.time()) - member.started,
        "ready": process.is_ready,
        "resident_memory_bytes": process.total("process_resident_memory_bytes"),
        "cpu_s": process.total("process_cpu_seconds_total"),
    }


def _print(health: Health, seen: list[Seen], found: list[str]) -> None:
    backlog = health.backlog
    typer.echo("Everything is well.\n" if not found else "\n".join(f"! {problem}" for problem in found) + "\n")
    aof = "written" if health.aof_ok else "NOT WRITTEN"
    limit = f" of {_size(health.memory_limit_bytes)}" if health.memory_limit_bytes else ""
    typer.echo(
        f"Pauses owed {backlog.owed}, being retried {backlog.retrying}, "
        f"oldest overdue {backlog.oldest_overdue_s:.1f} s, jobs due {backlog.due_jobs}\n"
        f"Redis answers in {health.round_trip_s * 1000:.1f} ms, append-only file {aof}, "
        f"memory {_size(health.memory_bytes)}{limit}\n"
    )
    print_table(
        ["role", "host", "pid", "metrics", "version", "up", "ready", "memory"],
        [
            (
                told["role"],
                told["host"],
                told["pid"],
                f"{told['url']}/metrics",
                told["version"],
                _span(told["up_s"]),
                "yes" if told["ready"] else "NO",
                _size(told["resident_memory_bytes"]),
            )
            for told in map(_as_json, seen)
        ],
        empty="No process runs.",
    )
    typer.echo("\nSince these processes started:")
    print_table(["", ""], [(name.replace("_", " "), value) for name, value in _totals(seen).items()], empty="")


def _name(process: Seen) -> str:
    return f"the {process.member.role} {process.member.pid} on {process.member.host}"


def _size(count: float) -> str:
    return f"{count / 2**20:.0f} MiB"


def _span(seconds: int) -> str:
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    return f"{days} d" if days else f"{hours} h" if hours else f"{minutes} min" if minutes else f"{seconds} s"
