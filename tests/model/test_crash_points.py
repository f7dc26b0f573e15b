"""A process is killed at each single I/O of a command and of a job, before and after it: none is a bad moment."""

import pytest

from gateway.presence.model import State
from model.events import Faults
from model.keyspace import Keyspace
from model.orders import CHATS, Order
from model.scenario import Scenario, play

_COMMANDS = {
    "a short indicator": [Order(1.0, CHATS[0], State.TYPING, 2)],
    "a held indicator": [Order(1.0, CHATS[0], State.TYPING, 9)],
    "an indicator without end": [Order(1.0, CHATS[0], State.RECORDING, 0)],
    "an indicator over another": [Order(1.0, CHATS[0], State.TYPING, 8), Order(3.0, CHATS[0], State.RECORDING, 3)],
    "a pause": [Order(1.0, CHATS[0], State.TYPING, 20), Order(2.5, CHATS[0], State.PAUSED, 0)],
    "a message": [Order(1.0, CHATS[0], State.TYPING, 30), Order(4.0, CHATS[0], State.PAUSED, 0, is_message=True)],
    "typing again right after the message": [
        Order(1.0, CHATS[0], State.TYPING, 20),
        Order(4.0, CHATS[0], State.PAUSED, 0, is_message=True),
        Order(4.01, CHATS[0], State.TYPING, 5),
    ],
    "a repeat": [Order(1.0, CHATS[0], State.TYPING, 5), Order(3.0, CHATS[0], State.TYPING, 5)],
    "two at once": [Order(1.0, CHATS[0], State.TYPING, 3), Order(1.001, CHATS[0], State.PAUSED, 0)],
}
_MOST_IOS = 400


@pytest.mark.parametrize("seed", [7, 8], ids=["one order of events", "another"])
@pytest.mark.parametrize("commands", _COMMANDS.values(), ids=_COMMANDS)
def test_no_crash_point_breaks_a_promise(keyspace: Keyspace, commands: list[Order], seed: int) -> None:
    killed = sum(_kill_at_each_point(keyspace, commands, victim, seed) for victim in ("g1", "g2", "w1", "w2"))
    assert killed > 10


def _kill_at_each_point(keyspace: Keyspace, commands: list[Order], victim: str, seed: int) -> int:
    """Play the commands once for each I/O of a process, which dies at it; returns how many there were."""
    kind = "single gateway killed" if victim.startswith("g") else "single worker killed"
    for point in range(1, _MOST_IOS):
        faults = Faults(kill_at=(victim, point, ""), most_kills=1)
        report = play(Scenario(seed, kind, commands, faults, 75.0), keyspace)
        assert not report.objections, f"crash point {point}\n{report.timeline()}"
        at = next((at for at, what in report.trace if "KILLED" in what), None)
        if at is None or at > 14:
            return point - 1
    raise AssertionError("it never ends")
