"""A `traceparent` is believed when it is one, handed on under a new span id, and kept out of the way otherwise."""

import pytest

from gateway.telemetry import trace
from gateway.telemetry.trace import Trace

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_valid_header_is_read_and_said_again() -> None:
    here = Trace.parse(GIVEN)
    assert here == Trace(TRACE_ID, SPAN_ID, "01")
    assert here.header == GIVEN


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"{GIVEN}\r\nX: y",
        f"01-{TRACE_ID}-{SPAN_ID}-01-{'x' * 300}",
    ],
)
def test_what_the_specification_tells_receivers_to_ignore_is_ignored(header: str) -> None:
    assert Trace.parse(header) is None


def test_a_later_version_is_read_as_far_as_we_know_it() -> None:
    assert Trace.parse(f"01-{TRACE_ID}-{SPAN_ID}-01-what-comes-next") == Trace(TRACE_ID, SPAN_ID, "01")


def test_an_outgoing_call_carries_the_trace_under_a_span_id_of_its_own() -> None:
    with trace.arrived(GIVEN, "a request", "server"):
        first, second = (Trace.parse(trace.outgoing()["traceparent"]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.trace_id == second.trace_id == TRACE_ID
    assert len({SPAN_ID, first.span_id, second.span_id}) == 3


def test_without_a_caller_who_traces_nothing_is_sent() -> None:
    with trace.arrived("", "a request", "server") as span:
        assert span.trace is None
        assert trace.outgoing() == {}


def test_a_trace_ends_with_the_block_it_arrived_in() -> None:
    with trace.arrived(GIVEN, "a request", "server"):
        assert trace.current() is not None
    assert trace.current() is None
