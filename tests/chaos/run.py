"""Play rows of the fault table on one site, print what was measured, and say whether a bound was broken."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from chaos import bystander
from chaos.attacks import ATTACKS
from chaos.cluster_rows import ROWS as CLUSTER_ROWS
from chaos.faults import ROWS as SERVER_ROWS
from chaos.faults import Row
from chaos.load import Load, Verdict
from chaos.network import NotPermitted
from chaos.site import Site

NOISE_S = 0.5
"""What a busy machine adds to any lateness."""

MAY_BE_LATE_S = 0.05
"""The p99 of those whom a fault is no concern of."""

ROWS = SERVER_ROWS + CLUSTER_ROWS
_HEAD = (
    "fault",
    "commands",
    "promised",
    "delivered",
    "refused",
    "no answer",
    "stuck",
    "early",
    "again",
    "late",
    "bound",
)
_WIDTHS = (40, 9, 9, 10, 8, 10, 6, 6, 6, 9, 9)
_BESIDE_HEAD = ("a bystander beside", "pauses", "not 200", "p99 alone", "p99 beside", "worst")
_BESIDE_WIDTHS = (42, 9, 9, 11, 12, 9)


def line(cells: tuple[object, ...]) -> str:
    return "".join(
        f"{cell!s:<{width}}" if number == 0 else f"{cell!s:>{width}}"
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )


def cells(row: Row, verdict: Verdict, bound_s: float) -> tuple[object, ...]:
    return (
        row.name, verdict.commands, verdict.promised, verdict.delivered, verdict.refused, verdict.unanswered,
        verdict.stuck, verdict.early, verdict.duplicated, f"{verdict.worst_late_s:.2f} s", f"{bound_s:.1f} s",
    )  # fmt: skip


def others(verdict: Verdict) -> str:
    """Say how those fared whom the fault is no concern of."""
    count, p99_ms = len(verdict.spared_late_s), 1000 * verdict.spared_p99_s
    return f"  {count} others: p99 {p99_ms:.0f} ms, {verdict.spared_refused} refused"


def broken(row: Row, verdict: Verdict, bound_s: float, others_noise_s: float = bystander.NOISE_S) -> list[str]:
    """What the row promised and did not hold; `others_noise_s` is what the machine adds to the lateness of others."""
    found = []
    if verdict.stuck:
        found.append(f"{verdict.stuck} chats are left on")
    if verdict.early and not row.may_be_early:
        found.append(f"{verdict.early} pauses came early")
    if verdict.delivered != verdict.promised:
        found.append(f"{verdict.promised - verdict.delivered} promised pauses never came")
    if verdict.worst_late_s > bound_s + NOISE_S:
        found.append(f"a pause was {verdict.worst_late_s:.2f} s late")
    if row.some_refused and not verdict.answers.get(503):
        found.append("nothing was refused with 503, so the fault did not strike")
    if row.none_refused and (verdict.refused or verdict.unanswered):
        found.append(f"{verdict.refused} requests were refused, {verdict.unanswered} got no answer")
    if row.refused_while_down and verdict.refused_late_s > NOISE_S:
        found.append(f"commands were refused {verdict.refused_late_s:.2f} s after the part was back")
    return found + _not_spared(row, verdict, others_noise_s)


def _not_spared(row: Row, verdict: Verdict, noise_s: float) -> list[str]:
    """What those noticed that were to notice nothing."""
    if not row.spares:
        return []
    found = []
    if verdict.spared_p99_s > MAY_BE_LATE_S + noise_s:
        found.append(f"pauses of others were {verdict.spared_p99_s:.3f} s late (p99)")
    if row.spares == "all" and verdict.spared_refused:
        found.append(f"{verdict.spared_refused} commands of others were refused")
    return found


async def play(row: Row, site: Site, seed: int) -> tuple[Verdict, float]:
    async with Load(site.urls, site.sandbox_url, site.account_token, seed, tuple(site.instances)) as load:
        if row.spares:
            await load.meet_all()
        stop = asyncio.create_task(load.run(2.0, row.per_second))
        await asyncio.sleep(1.0)
        struck_at = time.time()
        striking = asyncio.ensure_future(row.strike(site, load))
        await stop
        while not striking.done():
            await load.run(0.5, row.per_second)
        downtime_s = striking.result()
        await load.run(1.0, row.per_second)
        bound_s = row.bound_s + (downtime_s if row.plus_downtime else 0.0)
        verdict = await load.settle(bound_s + 25)
        verdict.refused_late_s = max(0.0, verdict.last_refused_at - struck_at - downtime_s)
        return verdict, bound_s


async def run(rows: tuple[Row, ...], folder: Path, *, others_noise_s: float = bystander.NOISE_S) -> list[str]:
    """Play the rows; return what was broken."""
    found: list[str] = []
    print(line(_HEAD), flush=True)
    for stage in dict.fromkeys(row.stage for row in rows):
        wanted = [row for row in rows if row.stage is stage]
        try:
            with stage(folder / stage.__name__) as site:
                found += await _play_all(wanted, site, others_noise_s)
        except NotPermitted as why:
            for row in wanted:
                print(f"{row.name}: skipped, {why}", flush=True)
    return found


async def _play_all(rows: list[Row], site: Site, others_noise_s: float) -> list[str]:
    found: list[str] = []
    try:
        site.folder.mkdir(parents=True, exist_ok=True)
        await site.start()
        for number, row in enumerate(rows):
            verdict, bound_s = await play(row, site, number)
            objections = broken(row, verdict, bound_s, others_noise_s)
            told = line(cells(row, verdict, bound_s)) + (others(verdict) if row.spares else "")
            print(told + ("  BROKEN: " + "; ".join(objections) if objections else ""), flush=True)
            found += [f"{row.name}: {objection}" for objection in objections]
    finally:
        site.close()
    return found


def attack(rows: tuple[bystander.Row, ...], folder: Path) -> list[str]:
    """Play the attacks beside a bystander; return what it lost that it may not lose."""
    found: list[str] = []
    print("".join(f"{head:>{width}}" for head, width in zip(_BESIDE_HEAD, _BESIDE_WIDTHS, strict=True)), flush=True)
    folder.mkdir()
    with bystander.prepared(folder) as ground:
        for row in rows:
            result = asyncio.run(bystander.play(row, ground))
            objections = result.objections()
            print(beside_line(row, result) + ("  BROKEN: " + "; ".join(objections) if objections else ""), flush=True)
            found += [f"{row.name}: {objection}" for objection in objections]
    return found


def beside_line(row: bystander.Row, result: bystander.Result) -> str:
    alone, beside = result.alone, result.beside
    figures = (f"{1000 * late_s:.0f} ms" for late_s in (alone.p99_s, beside.p99_s, max(beside.late_s)))
    cells = (row.name, beside.promised, sum(beside.statuses.values()) - beside.statuses[200], *figures)
    return "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, _BESIDE_WIDTHS, strict=True))


def main(names: list[str]) -> int:
    """Play the rows whose name contains one of `names`, or all."""
    rows = tuple(row for row in ROWS if not names or any(name in row.name for name in names))
    attacks = tuple(row for row in ATTACKS if not names or any(name in row.name for name in names))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        found = asyncio.run(run(rows, Path(folder))) if rows else []
        found += attack(attacks, Path(folder) / "bystander") if attacks else []
    count = len(rows) + len(attacks)
    print(f"{count} rows on {os.cpu_count()} cores, load average {load:.1f} before; {len(found)} bounds broken")
    for objection in found:
        print(f"  {objection}")
    return 1 if found else 0
