"""When a worker begins what: at its time, once, the longest due first, and no account before its turn."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.presence.model import Chat
from gateway.presence.schedule import Schedule
from gateway.presence.shares import Shares
from gateway.presence.steps import ChatKey

ACCOUNTS = {"i1": "greedy", "i2": "greedy", "i3": "calm", "i4": "other"}
PLENTY = 10_000


def chat(number: int, instance_id: str = "i1") -> ChatKey:
    return ChatKey(instance_id, Chat(f"55119{number:08}@s.whatsapp.net"))


def learn(schedule: Schedule, key: ChatKey, at_s: float) -> None:
    schedule.learn(key, at_s, ACCOUNTS[key.instance_id])


def begun(schedule: Schedule, now_s: float, shares: Shares | None = None) -> list[ChatKey]:
    return [key for key, _ in schedule.begin(now_s, shares or Shares(PLENTY))]


def greedy_and_calm(owed: int) -> Schedule:
    """Two accounts: the first owes many pauses, the second owes the one that is due last."""
    schedule = Schedule()
    for number in range(owed):
        learn(schedule, chat(number), number / 1000)
    learn(schedule, chat(0, "i3"), owed / 1000)
    return schedule


def test_a_chat_begins_at_its_time_and_no_sooner() -> None:
    schedule = Schedule()
    learn(schedule, chat(1), 5.0)
    assert schedule.next_s() == 5.0
    assert begun(schedule, 4.999) == []
    assert begun(schedule, 5.0) == [chat(1)]
    assert schedule.next_s() is None


def test_the_time_that_was_learnt_last_counts() -> None:
    schedule = Schedule()
    for at_s in (5.0, 9.0):
        learn(schedule, chat(1), at_s)
    for at_s in (5.0, 3.0):
        learn(schedule, chat(2), at_s)
    assert begun(schedule, 3.0) == [chat(2)]
    assert begun(schedule, 8.9) == []
    assert begun(schedule, 9.0) == [chat(1)]


def test_two_looks_that_say_the_same_instant_a_little_differently_are_one() -> None:
    schedule = Schedule()
    for number in range(1000):
        learn(schedule, chat(1), 5.0 + number % 4 / 1000)
    assert schedule.next_s() == 5.0
    assert begun(schedule, 6.0) == [chat(1)]


def test_what_is_under_way_is_not_begun_again_before_it_has_ended() -> None:
    schedule = Schedule()
    learn(schedule, chat(1), 5.0)
    assert begun(schedule, 5.0) == [chat(1)]
    assert not schedule.end(chat(1))
    learn(schedule, chat(1), 6.5)
    assert begun(schedule, 7.0) == [chat(1)]


def test_what_is_learnt_of_a_chat_under_way_counts_when_it_has_ended() -> None:
    schedule = Schedule()
    learn(schedule, chat(1), 5.0)
    assert begun(schedule, 5.0) == [chat(1)]
    learn(schedule, chat(1), 5.5)
    assert begun(schedule, 6.0) == []
    assert schedule.end(chat(1))
    assert begun(schedule, 6.0) == [chat(1)]


def test_an_account_gets_no_more_than_its_share_and_hides_nothing_of_others() -> None:
    schedule, shares = greedy_and_calm(owed=200), Shares(16)
    found = schedule.begin(1.0, shares)
    assert Counter(account for _, account in found) == {"greedy": 8, "calm": 1}
    assert [key for key, account in found if account == "greedy"] == [chat(number) for number in range(8)]
    assert len(schedule) == 192
    assert schedule.begin(2.0, shares) == []


def test_what_an_account_holds_already_counts() -> None:
    schedule, shares = greedy_and_calm(owed=20), Shares(16)
    while shares.take("greedy"):
        pass
    assert begun(schedule, 1.0, shares) == [chat(0, "i3")]


def test_whoever_holds_least_comes_first() -> None:
    schedule, shares = greedy_and_calm(owed=20), Shares(4)
    shares.take("greedy")
    assert [account for _, account in schedule.begin(1.0, shares)] == ["calm", "greedy"]


def test_what_waits_for_its_accounts_share_keeps_its_place() -> None:
    schedule, shares = greedy_and_calm(owed=6), Shares(4)
    assert begun(schedule, 1.0, shares) == [chat(0), chat(0, "i3"), chat(1)]
    learn(schedule, chat(7), 0.0)
    for number in range(2, 6):
        shares.give_back("greedy")
        assert begun(schedule, 1.0, shares) == [chat(number)]
    shares.give_back("greedy")
    assert begun(schedule, 1.0, shares) == [chat(7)]


def test_what_others_look_after_is_forgotten_whether_it_is_due_or_not() -> None:
    schedule = Schedule()
    for number in range(4):
        learn(schedule, chat(number), number)
    assert begun(schedule, 1.0, Shares(1)) == [chat(0)]
    schedule.keep(lambda key: key == chat(2))
    assert schedule.chats == [chat(2)]
    assert begun(schedule, 9.0) == [chat(2)]


class Worker(RuleBasedStateMachine):
    """Any order in which chats are learnt, begun, ended and left to others, beside a book of what must hold."""

    keys = st.builds(chat, st.integers(0, 3), st.sampled_from(sorted(ACCOUNTS)))

    @initialize(places=st.integers(1, 9))
    def start(self, places: int) -> None:
        self.schedule, self.shares, self.now_s = Schedule(), Shares(places), 100
        self.at: dict[ChatKey, int] = {}
        self.ready: list[ChatKey] = []
        self.under_way: dict[ChatKey, int | None] = {}

    @rule(key=keys, in_s=st.integers(-5, 20))
    def learn(self, key: ChatKey, in_s: int) -> None:
        learn(self.schedule, key, self.now_s + in_s)
        if key in self.under_way:
            self.under_way[key] = self.now_s + in_s
        elif key not in self.ready:
            self.at[key] = self.now_s + in_s

    @rule(passes_s=st.integers(0, 10))
    def begin(self, passes_s: int) -> None:
        self.now_s += passes_s
        due = sorted((at_s, key) for key, at_s in self.at.items() if at_s <= self.now_s)
        self.ready += [key for _, key in due]
        for _, key in due:
            del self.at[key]
        found = self.schedule.begin(self.now_s, self.shares)
        for key, account_id in found:
            assert account_id == ACCOUNTS[key.instance_id]
            assert key not in self.under_way, "begun twice"
            first = next(one for one in self.ready if ACCOUNTS[one.instance_id] == account_id)
            assert key == first, "of one account, what is the longest due"
            self.ready.remove(key)
            self.under_way[key] = None
        for key in self.ready:
            assert not self.shares.take(ACCOUNTS[key.instance_id]), "a place is left, and it waits"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.under_way)))
        learnt = self.under_way.pop(key)
        assert self.schedule.end(key) is (learnt is not None)
        if learnt is not None:
            self.at[key] = learnt
        self.shares.give_back(ACCOUNTS[key.instance_id])

    @rule(instance_ids=st.sets(st.sampled_from(sorted(ACCOUNTS))))
    def keep(self, instance_ids: set[str]) -> None:
        self.schedule.keep(lambda key: key.instance_id in instance_ids)
        self.at = {key: at_s for key, at_s in self.at.items() if key.instance_id in instance_ids}
        self.ready = [key for key in self.ready if key.instance_id in instance_ids]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        assert sorted(self.schedule.chats) == sorted([*self.at, *self.ready])
        assert len(self.schedule) == len(self.ready)
        assert self.schedule.next_s() == min(self.at.values(), default=None)

    @invariant()
    def places_are_held_by_what_is_under_way(self) -> None:
        assert self.shares.held == Counter(ACCOUNTS[key.instance_id] for key in self.under_way)

    def teardown(self) -> None:
        """Whatever was, all that is known begins in the end."""
        if not hasattr(self, "schedule"):
            return
        known = {*self.at, *self.ready}
        found = self.schedule.begin(self.now_s + 1000, Shares(PLENTY))
        assert {key for key, _ in found} == known


test_nothing_is_lost_or_begun_twice_and_turns_go_by_share = Worker.TestCase
