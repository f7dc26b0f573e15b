"""Open loop: how much later an answer comes through ours than from the upstream itself."""

from contextlib import ExitStack
from pathlib import Path

from comparison import stacks
from comparison.load import open_loop
from comparison.plan import Plan
from comparison.samples import Results
from comparison.stacks import Stack

DIRECT = "upstream directly"

_WARM_UP_S = 1.0
_WARM_UP_ROUND = 90


def added(plan: Plan, results: Results) -> None:
    """Let the upstream and ours take turns at the same constant rate."""
    with ExitStack() as stack:
        folder = plan.room("upstream")
        upstream_url, pid = stack.enter_context(stacks.open_upstream(folder))
        direct = Stack(DIRECT, upstream_url.removeprefix("http://"), _callers(folder), {"upstream": pid})
        ours = stack.enter_context(stacks.open_ours(plan.room("ours"), upstream_url))
        with plan.steps("open loop", 2 * plan.rounds) as steps:
            for one in (direct, ours):
                steps.begin(f"warming up {one.name}")
                open_loop(one, _WARM_UP_ROUND, plan.rate, _WARM_UP_S)
            for number in range(plan.rounds):
                for one in (direct, ours):
                    steps.begin(f"{plan.rate:g}/s, {one.name}")
                    results.loads.append(open_loop(one, number, plan.rate, plan.seconds))
                    steps.done()


def _callers(folder: Path) -> Path:
    file = folder / "callers"
    file.write_text("/chat/presence a-user-token-of-wuzapi\n")
    return file
