"""Open loop: how much later an answer comes through ours than from the upstream itself, for a command and a message."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from comparison import stacks
from comparison.load import open_loop
from comparison.plan import Plan
from comparison.samples import Results
from comparison.stacks import Stack

DIRECT = "upstream directly"
PASSED_DIRECT = "a message, directly"
PASSED = "a message, passed through"

_MESSAGE = "/api/message/text"

_WARM_UP_S = 1.0
_WARM_UP_ROUND = 90


def added(plan: Plan, results: Results) -> None:
    """Let the upstream and ours take turns at the same constant rate."""
    _compare(plan, results, DIRECT, "/chat/presence", lambda url: stacks.open_ours(plan.room("ours"), url))


def passed(plan: Plan, results: Results) -> None:
    """The same for a small message that passes through."""

    @contextmanager
    def opened(url: str) -> Iterator[Stack]:
        with stacks.open_ours(plan.room("ours"), url, kind="ryzeapi", route=_MESSAGE) as ours:
            yield replace(ours, name=PASSED)

    _compare(plan, results, PASSED_DIRECT, f"{_MESSAGE}/bench0", opened)


def _compare(
    plan: Plan,
    results: Results,
    direct_name: str,
    path: str,
    open_ours: Callable[[str], AbstractContextManager[Stack]],
) -> None:
    with ExitStack() as stack:
        folder = plan.room("upstream")
        upstream_url, pid = stack.enter_context(stacks.open_upstream(folder))
        callers = _callers(folder, path)
        direct = Stack(direct_name, upstream_url.removeprefix("http://"), callers, {"upstream": pid})
        ours = stack.enter_context(open_ours(upstream_url))
        with plan.steps("open loop", 2 * plan.rounds) as steps:
            for one in (direct, ours):
                steps.begin(f"warming up {one.name}")
                open_loop(one, _WARM_UP_ROUND, plan.rate, _WARM_UP_S)
            for number in range(plan.rounds):
                for one in (direct, ours):
                    steps.begin(f"{plan.rate:g}/s, {one.name}")
                    results.loads.append(open_loop(one, number, plan.rate, plan.seconds))
                    steps.done()


def _callers(folder: Path, path: str) -> Path:
    file = folder / "callers"
    file.write_text(f"{path} a-user-token-of-wuzapi\n")
    return file
