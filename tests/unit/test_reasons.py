"""What the person on call reads: why something did not show, and chats without their numbers."""

import pytest

from gateway.api.admin.chat_names import ChatIds, masked
from gateway.api.admin.reasons import answer, of_late, of_outcome
from gateway.presence.model import Outcome
from gateway.store.ends import End
from gateway.tenants.tokens import TokenHasher
from gateway.upstreams.doctor import Finding

WELL = [Finding("upstream reached", "ok", "it answered 200"), Finding("session connected", "unknown", "unknown")]
JID = "5511999999999@s.whatsapp.net"


def end(by: str, shown_s: float = 5.0, *, outcome: str = "", is_sure: bool = True) -> End:
    return End("i1", JID, "typing", 1000.0, 1000.0 + shown_s, by, is_sure=is_sure, outcome=outcome)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_words(outcome: Outcome) -> None:
    assert outcome is Outcome.OK or " " in of_outcome(outcome)


def test_where_nobody_was_called_that_is_said() -> None:
    assert of_outcome("").startswith("nobody was called")


def test_a_late_pause_is_laid_to_its_upstream_first_then_to_who_is_missing() -> None:
    assert of_late("not_connected", has_worker=False) == "the session is not connected to WhatsApp"
    assert of_late(None, has_worker=False) == "no worker runs"
    assert of_late(None, has_worker=True) == "a worker is about to send it"


def test_the_first_bad_finding_is_the_answer_whatever_became_of_the_last() -> None:
    findings = [*WELL, Finding("credential accepted", "bad", "it was refused")]
    assert (
        answer(findings, end("failed", outcome="unauthorized")) == "It ends at “credential accepted”: it was refused."
    )


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (end("failed", outcome="not_connected"), "not connected to WhatsApp. That is mended"),
        (end("failed", outcome="unsupported"), "The last one came to nothing: the upstream has no such indicator."),
        (end("time", is_sure=False), "did not say whether it showed"),
        (end("message", 0.4), "showed for 0.4 s only, and was ended by a message"),
        (end("message", 9.0), "Nothing is wrong as far as the upstream"),
        (None, "Nothing is wrong as far as the upstream"),
    ],
)
def test_where_nothing_is_bad_now_the_last_one_tells(last: End | None, said: str) -> None:
    assert said in answer(WELL, last)


def test_what_cannot_be_found_again_is_not_called_mended() -> None:
    assert "mended" not in answer(WELL, end("failed", outcome="unknown_number"))


@pytest.mark.parametrize(
    ("jid", "name"),
    [
        (JID, "+55 ••• 9999"),
        ("2345678@s.whatsapp.net", "+ ••• 5678"),
        ("120363012345678901@g.us", "Group ••• 8901"),
        ("123456789012345@lid", "Contact ••• 2345"),
        ("120363012345678901@newsletter", "Channel ••• 8901"),
        ("status@broadcast", "Status"),
    ],
)
def test_a_masked_number_keeps_most_of_it_to_itself(jid: str, name: str) -> None:
    assert masked(jid) == name


def test_an_id_is_a_chats_own_and_hangs_on_the_pepper() -> None:
    ids = ChatIds(TokenHasher(b"pepper"))
    assert ids.of(JID) == ids.of(JID)
    others = {ChatIds(TokenHasher(b"other")).of(JID), ids.of("5511999999998@s.whatsapp.net")}
    assert ids.of(JID) not in others
