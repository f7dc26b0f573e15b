"""Closed loop: how much each stack does when it is always asked for more, and what that costs."""

from contextlib import ExitStack

from comparison import stacks
from comparison.load import closed_loop
from comparison.plan import Plan
from comparison.samples import Results

_WARM_UP_S = 1.0
_WARM_UP_ROUND = 90
"""Its chats are met by no other round."""


def commands(plan: Plan, results: Results) -> None:
    """Let all stacks take turns."""
    with ExitStack() as stack:
        upstream_url, upstream = stack.enter_context(stacks.open_upstream(plan.room("upstream")))
        serving = _open(plan, results, stack, upstream_url)
        with plan.steps("throughput", len(serving) * plan.rounds) as steps:
            for one in serving:
                steps.begin(f"warming up {one.name}")
                closed_loop(one, _WARM_UP_ROUND, _WARM_UP_S, {})
            for number in range(plan.rounds):
                for one in serving:
                    steps.begin(one.name)
                    calls = {"upstream": upstream} if one.redis_url else {}
                    results.loads.append(closed_loop(one, number, plan.seconds, calls))
                    steps.done()


def refusals(plan: Plan, results: Results) -> None:
    """Let callers over their limit, unknown callers and aiohttp alone take turns."""
    with ExitStack() as stack:
        ours = stack.enter_context(stacks.open_ours(plan.room("ours"), "http://127.0.0.1:9"))
        bare = stack.enter_context(stacks.open_bare(plan.room("bare"), ""))
        limited, unknown = ours.refusing(429), ours.refusing(401)
        with plan.steps("refusals", 3 * plan.rounds) as steps:
            for number in range(plan.rounds):
                for one, what in ((limited, "429"), (unknown, "401"), (bare, "answers")):
                    steps.begin(f"{one.name}, {what}")
                    refuses = one is not bare
                    results.loads.append(closed_loop(one, number, plan.seconds, {}, what=what, refuses=refuses))
                    steps.done()


def _open(plan: Plan, results: Results, stack: ExitStack, upstream_url: str) -> list[stacks.Stack]:
    serving = []
    for name in plan.stacks:
        try:
            serving.append(stack.enter_context(stacks.OPENERS[name](plan.room(name), upstream_url)))
        except stacks.Absent as absent:
            results.left_out.append(str(absent))
            plan.console.print(f"left out: {absent}")
    return serving
