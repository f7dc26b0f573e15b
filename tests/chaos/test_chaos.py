"""The short form of `make chaos`: a gateway and a worker are killed under load, for real."""

from pathlib import Path

import pytest

from chaos.faults import ROWS
from chaos.run import run

_SHORT = ("gateway: kill -9", "worker: kill -9")


@pytest.mark.timeout(120)
async def test_a_killed_gateway_and_a_killed_worker_break_no_promise(tmp_path: Path) -> None:
    assert await run(tuple(row for row in ROWS if row.name in _SHORT), tmp_path) == []
