"""The benchmark reads its generators right, and a target holds by what was measured."""

import pytest
from comparison.generator import Requests
from comparison.http1 import message_end
from comparison.load import LoadFailed, read_wrk
from comparison.owed import every
from comparison.samples import Figure, Lateness, Load, Memory, Prediction, Results, percentile, percentiles, spread
from comparison.scale import Idle, Prices
from comparison.tables import figures, predictions, table
from comparison.targets import targets

SAID = """Running 2s test @ http://127.0.0.1:1
  1 threads and 32 connections
counted 1000 2000000 3 4
at 50 1650
at 99 4500
at 99.9 20000
at 100 21000
"""


def load(what: str, stack: str, requests: int, cpu_s: float = 1.0, late_ms: float = 1.0) -> Load:
    return Load(
        what=what,
        stack=stack,
        round=0,
        seconds=1.0,
        requests=requests,
        refused=0,
        broken=0,
        latency_ms={50.0: late_ms, 99.0: late_ms},
        cpu_s={"gateway": cpu_s},
        redis={},
    )


def lateness(stack: str, p99_ms: float, *, arrived: int = 10) -> Lateness:
    return Lateness(
        what="10,000 within 0.5 s",
        stack=stack,
        round=0,
        due=10,
        arrived=arrived,
        early=0,
        late_ms={99.0: p99_ms},
        curve_ms=[],
        cpu_s={},
    )


def test_what_wrk_counted_is_read_in_seconds_and_milliseconds() -> None:
    read = read_wrk(SAID)
    assert (read.requests, read.seconds, read.refused, read.broken) == (1000, 2.0, 3, 4)
    assert read.latency_ms == {50.0: 1.65, 99.0: 4.5, 99.9: 20.0, 100.0: 21.0}
    assert read.per_second == 500


def test_a_wrk_that_said_nothing_of_the_kind_is_an_error() -> None:
    with pytest.raises(LoadFailed, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (1, 50, 99, 99.5, 100)] == [1, 50, 99, 100, 100]
    assert percentile([7.0], 50) == 7
    assert percentiles([3.0, 1.0, 2.0])[100.0] == 3
    assert percentiles([]) == {}


def test_a_median_is_told_with_its_least_and_most() -> None:
    assert spread([3.0, 1.0, 2000.0]) == "3 (1 to 2,000)"
    assert spread([1.25], 1) == "1.2"
    assert spread([]) == "-"


def test_a_message_ends_with_its_body() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    assert [message_end(whole[:size]) for size in (5, len(whole) - 1, len(whole))] == [0, 0, len(whole)]
    assert message_end(whole + whole) == len(whole)
    assert message_end(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == 27


def test_every_request_is_a_chat_of_its_own_and_callers_take_turns() -> None:
    requests = Requests([("/a", "x"), ("/b", "y")], 0)
    first, second = requests.next(), requests.next()
    assert first.startswith(b"POST /b ")
    assert b'"5511900000001"' in first
    assert second.startswith(b"POST /a ")
    assert b'"5511900000002"' in second
    assert message_end(first) == len(first)
    assert b'"duration":60}' in first


def test_a_command_asks_for_the_duration_that_was_wanted() -> None:
    request = Requests([("/a", "x")], 0, 6).next()
    assert request.endswith(b'"duration":6}')
    assert message_end(request) == len(request)


def test_the_model_adds_up_commands_wake_ups_and_looks_at_an_empty_queue() -> None:
    prices = Prices(0.001, 0.0005, 0.0002, 0.0001, Idle(gateway=0.002, worker=0.02, valkey=0.01))
    predicted = prices.predict(1000, 2000, 10.0)
    assert predicted == pytest.approx({"gateway": 1.0, "Valkey": 0.8, "worker": 0.6})


def test_what_was_predicted_stands_beside_what_was_measured() -> None:
    results = Results(
        machine={},
        figures=[Figure(what="a tenant", over="10", value=2222.4, unit="bytes")],
        predictions=[Prediction(role="worker", over="10 wake-ups", predicted_s=1.0, measured_s=2.0)],
    )
    assert figures(results).splitlines()[2] == "| a tenant | 10 | 2,222 | bytes |"
    assert predictions(results).splitlines()[2] == "| worker, 10 wake-ups | 1.00 | 2.00 | 0.50 |"


def test_what_is_due_in_the_past_is_due_at_once() -> None:
    assert every(1000, 0.0)(5) == 1


def test_a_table_aligns_figures_to_the_right() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | --: |\n| x | 1 |"


def test_a_target_holds_or_not_by_the_ratio_within_each_round() -> None:
    loads = [
        *(load("commands", "nginx + Lua", requests) for requests in (900, 9000)),
        *(load("commands", "ours", requests) for requests in (300, 2700)),
    ]
    lines = targets(Results(machine={}, loads=loads)).splitlines()
    assert lines[2] == "| commands/s: ours / nginx + Lua | >= 0.33 | 0.32 | NO |"


def test_a_pause_that_never_came_is_later_than_any() -> None:
    runs = [lateness("ours, 1 worker", 900.0), lateness("ours, 2 workers", 5.0, arrived=9)]
    lines = targets(Results(machine={}, lateness=runs)).splitlines()
    assert lines[2].endswith("| <= 1000 ms | 900 ms | yes |")
    assert lines[3].endswith("| < with one | inf ms | NO |")


def test_latency_is_added_over_the_upstream_alone() -> None:
    loads = [load("open", "upstream directly", 1, late_ms=1.0), load("open", "ours", 1, late_ms=4.0)]
    lines = targets(Results(machine={}, loads=loads)).splitlines()
    assert lines[2] == "| added latency in the open loop, p50 | <= 2 ms | 3.00 ms | NO |"
    assert lines[3] == "| added latency in the open loop, p99 | <= 10 ms | 3.00 ms | yes |"


def test_an_owed_pause_may_take_a_kibibyte() -> None:
    memory = [Memory(owed=10, bytes_each=1024.0, seconds=1.0), Memory(owed=20, bytes_each=1025.0, seconds=1.0)]
    lines = targets(Results(machine={}, memory=memory)).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["yes", "NO"]


def test_a_run_of_nothing_has_no_targets() -> None:
    assert targets(Results(machine={})) == ""
