"""A slice of `make fuzz`: no undocumented answer, no stack trace, no secret in any log, and others' promises kept."""

from fuzz.run import play


def test_generated_bad_requests_get_documented_answers_and_leave_no_trace() -> None:
    result = play(3200, seed=7)

    assert result.objections == []
    assert result.asked == 3200
    assert min(result.statuses[status] for status in (200, 400, 401, 404, 405)) > 30
