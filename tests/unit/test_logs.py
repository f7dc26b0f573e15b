"""What is logged: one line of JSON, wherever standard error is by now, and never a number."""

import io
import json
import sys
from pathlib import Path

import pytest
import structlog

from gateway.telemetry import logs


def test_a_line_is_json_and_goes_where_standard_error_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(fmt="json")
    log = structlog.get_logger()
    for _ in range(2):
        now = io.StringIO()
        monkeypatch.setattr(sys, "stderr", now)
        log.info("request", status=200)
        assert json.loads(now.getvalue())["status"] == 200
        now.close()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("olá", "olá"),
        ("half a pair \ud83d", "half a pair \ud83d"),
        ("two\u2028lines\u0085or three", "two\u2028lines\u0085or three"),
        (10**40, 10**40),
        ({1: "a"}, {"1": "a"}),
        ({(1, 2): "a"}, {"(1, 2)": "a"}),
        (Path, repr(Path)),
    ],
)
def test_no_value_costs_a_line(monkeypatch: pytest.MonkeyPatch, value: object, read: object) -> None:
    logs.set_up(fmt="json")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    structlog.get_logger().info("request", value=value, status=200)
    assert out.getvalue().isascii()
    assert len(out.getvalue().splitlines()) == 1
    line = json.loads(out.getvalue())
    assert (line["value"], line["status"], line["event"], line["level"]) == (read, 200, "request", "info")


def test_an_exception_is_told_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(fmt="json")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    try:
        int("lost \ud83d")
    except ValueError:
        structlog.get_logger().exception("failed")
    line = json.loads(out.getvalue())
    assert line["level"] == "error"
    assert "ValueError: invalid" in line["exception"]


def test_a_log_that_cannot_be_written_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(fmt="json")
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    structlog.get_logger().info("request")


def test_a_chat_has_a_label_of_its_own_without_its_number() -> None:
    one, other = logs.chat_label("5511999999999@s.whatsapp.net"), logs.chat_label("5511999999998@s.whatsapp.net")
    assert one == logs.chat_label("5511999999999@s.whatsapp.net")
    assert one != other
    assert "5511" not in one
