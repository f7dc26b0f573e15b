"""Nobody can hurt anybody: whatever an account does within its limits, a bystander's pauses come on time."""

import asyncio
from collections.abc import Iterator

import pytest

from chaos.attacks import ATTACKS
from chaos.bystander import Ground, Row, play, prepared

BUSY_S = 1.0
"""Other tests run on the same cores. Without a share, its pauses are late by an upstream's timeout at the least."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with prepared(tmp_path_factory.mktemp("bystander")) as ground:
        yield ground


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: row.name)
def test_a_bystander_loses_nothing(row: Row, ground: Ground) -> None:
    result = asyncio.run(play(row, ground, is_short=True))
    assert result.objections(BUSY_S) == []
