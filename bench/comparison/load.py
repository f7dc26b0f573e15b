"""One measurement of a stack under load: wrk, or our own generator, and what it cost."""

import re
import resource
import shutil
import subprocess

import msgspec

from comparison.costs import measured
from comparison.generator import Loaded
from comparison.processes import HERE, ROOT, environ, program
from comparison.samples import Load, percentiles
from comparison.stacks import Stack

CONNECTIONS = 32
CHATS_A_ROUND = 1_000_000

_LATER_S = 60.0


class LoadFailed(Exception):
    """The answers were not those that were to be measured."""


def closed_loop(
    stack: Stack, number: int, seconds: float, pids: dict[str, int], *, what: str = "commands", refuses: bool = False
) -> Load:
    """Keep 32 connections busy; `refuses` where every answer is to be an error status."""
    with measured(stack.pids | pids, stack.redis_url) as costs:
        spent_s = _children_s()
        if shutil.which("wrk"):
            load = read_wrk(_run(_wrk(stack, number, seconds), seconds).decode())
        else:
            load = _read_ours(_run(_ours(stack, number, seconds, "--connections", CONNECTIONS), seconds))
        spent_s = _children_s() - spent_s
    costs.cpu_s["generator"] = spent_s
    load.what, load.stack, load.round, load.cpu_s, load.redis = what, stack.name, number, costs.cpu_s, costs.redis
    wrong = load.broken + (load.requests - load.refused if refuses else load.refused)
    # A caller's very first request may pass where every later one is refused.
    if wrong > load.requests / 100 or not load.requests:
        raise LoadFailed(f"{stack.name}, {what}: {load.requests} answers, {load.refused} errors, {load.broken} lost")
    return load


def open_loop(stack: Stack, number: int, rate: float, seconds: float, *, duration_s: int = 60) -> Load:
    """Send at a constant rate, each latency counted from when its request was due."""
    with measured(stack.pids, stack.redis_url) as costs:
        words = ("--rate", rate, "--duration", duration_s)
        load = _read_ours(_run(_ours(stack, number, seconds, *words), seconds))
    load.what, load.stack, load.round, load.cpu_s, load.redis = "open", stack.name, number, costs.cpu_s, costs.redis
    if load.broken or load.refused:
        raise LoadFailed(f"{stack.name}, open loop: {load.refused} errors, {load.broken} lost")
    return load


def read_wrk(said: str) -> Load:
    """Read what `lua/wrk.lua` prints at the end.

    Raises:
        LoadFailed: it printed nothing of the kind.
    """
    found = re.search(r"^counted (\d+) (\d+) (\d+) (\d+)$", said, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"wrk said: {said}")
    requests, duration_us, refused, broken = map(int, found.groups())
    at = {float(share): int(us) / 1000 for share, us in re.findall(r"^at ([\d.]+) (\d+)$", said, re.MULTILINE)}
    return _load(requests, duration_us / 1e6, refused, broken, at)


def _read_ours(said: bytes) -> Load:
    loaded = msgspec.json.decode(said, type=Loaded)
    latencies = [us / 1000 for us in loaded.latencies_us]
    return _load(len(latencies), loaded.seconds, loaded.refused, loaded.broken, percentiles(latencies))


def _load(requests: int, seconds: float, refused: int, broken: int, latency_ms: dict[float, float]) -> Load:
    return Load(
        what="",
        stack="",
        round=0,
        seconds=seconds,
        requests=requests,
        refused=refused,
        broken=broken,
        latency_ms=latency_ms,
        cpu_s={},
        redis={},
    )


def _wrk(stack: Stack, number: int, seconds: float) -> list[str]:
    shape = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "lua/wrk.lua")]
    return [*shape, f"http://{stack.address}", "--", str(stack.callers), str(number * CHATS_A_ROUND)]


def _ours(stack: Stack, number: int, seconds: float, *words: object) -> list[str]:
    options = ["--seconds", seconds, "--first-chat", number * CHATS_A_ROUND, *words]
    return program("generator", stack.address, str(stack.callers), *options)


def _run(command: list[str], seconds: float) -> bytes:
    done = subprocess.run(
        command, cwd=ROOT, env=environ(), capture_output=True, check=False, timeout=seconds + _LATER_S
    )
    if done.returncode:
        raise LoadFailed(done.stderr.decode(errors="replace")[-2000:])
    return done.stdout


def _children_s() -> float:
    """Return the CPU seconds of those children of ours that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
