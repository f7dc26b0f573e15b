"""Every rule is needed: without it, the model finds a broken promise within a stated number of seeds."""

import pytest

from model.keyspace import Keyspace
from model.mutants import MUTANTS, Mutant
from model.scenario import play, scenario_of


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.rule for mutant in MUTANTS])
def test_without_the_rule_a_promise_is_broken(keyspace: Keyspace, mutant: Mutant) -> None:
    for seed in range(mutant.first_seed, mutant.first_seed + mutant.within_seeds):
        if objections := play(scenario_of(seed, mutant.kind), keyspace, mutant.remove).objections:
            assert not any(" failed: " in text for text in objections), "the mutant itself is broken"
            return
    pytest.fail(f"{mutant.within_seeds} scenarios without the rule of {mutant.rule}, and nothing was broken")
