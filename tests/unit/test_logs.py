"""What is logged: one line of JSON, wherever standard error is by now, and never a number."""

import io
import json
import sys

import pytest
import structlog

from gateway import logs


def test_a_line_is_json_and_goes_where_standard_error_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(fmt="json")
    log = structlog.get_logger()
    for _ in range(2):
        now = io.StringIO()
        monkeypatch.setattr(sys, "stderr", now)
        log.info("request", status=200)
        assert json.loads(now.getvalue())["status"] == 200
        now.close()


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
