"""Processes that are held to a part of a core, so that several have a core's worth each on a machine that has too few.

Two gateways on two cores that Redis, the upstream and the generator want too show how full the machine is, not how the
gateway scales. Held to a third of a core each, they have what two more cores would give them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

SHARE = 1 / 3
"""Of a core, for each process."""

_PERIOD_US = 10_000
"""Short, so that a process that has used its share waits for milliseconds."""

_CGROUPS = Path("/sys/fs/cgroup")


class CannotHold(Exception):
    """This user, or this kernel, has no control group for it."""


@contextmanager
def held(pids: Sequence[int]) -> Iterator[None]:
    """Hold each of these processes to its share inside the block.

    Raises:
        CannotHold: it takes root and control groups.
    """
    with ExitStack() as stack:
        for pid in pids:
            stack.enter_context(_held(pid))
        yield


@contextmanager
def _held(pid: int) -> Iterator[None]:
    is_second = (_CGROUPS / "cgroup.controllers").exists()
    root = _CGROUPS if is_second else _CGROUPS / "cpu"
    group = root / f"presence-bench-{os.getpid()}-{pid}"
    try:
        group.mkdir()
        if is_second:
            (group / "cpu.max").write_text(f"{round(_PERIOD_US * SHARE)} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(round(_PERIOD_US * SHARE)))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise CannotHold(str(error)) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (root / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()
