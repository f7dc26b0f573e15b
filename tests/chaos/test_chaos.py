"""The short form of `make chaos`: a gateway, a worker, and a primary of a cluster are killed under load, for real."""

from pathlib import Path

import pytest

from chaos.run import ROWS, run

_SHORT = ("gateway: kill -9", "worker: kill -9")
_CLUSTER = "Cluster: primary with {t} kill -9"

BUSY_S = 1.5
"""Other tests run on the same cores. Who waits for a failover waits for longer."""


@pytest.mark.timeout(120)
async def test_a_killed_gateway_and_a_killed_worker_break_no_promise(tmp_path: Path) -> None:
    assert await run(tuple(row for row in ROWS if row.name in _SHORT), tmp_path) == []


@pytest.mark.timeout(120)
async def test_a_primary_of_a_cluster_that_is_killed_breaks_no_promise_and_is_no_concern_of_the_others(
    tmp_path: Path,
) -> None:
    assert await run(tuple(row for row in ROWS if row.name == _CLUSTER), tmp_path, others_noise_s=BUSY_S) == []
