"""Bodies of the presence endpoint become commands, or the contract's 400s (section 4)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api import bodies
from gateway.presence.errors import BadRequest, InvalidBody
from gateway.presence.model import Chat, State

NUMBER = "5511999999999"


def read(**fields: Any) -> bodies.PresenceCommand:
    return bodies.presence(json.dumps({"number": NUMBER, "state": "typing"} | fields).encode(), 600)


def message_of(body: bytes) -> str:
    with pytest.raises(BadRequest) as refused:
        bodies.presence(body, 600)
    return refused.value.message


def test_the_documented_example_is_a_command() -> None:
    expected = bodies.PresenceCommand(Chat(f"{NUMBER}@s.whatsapp.net"), State.TYPING, "typing", 5)
    assert read(duration=5) == expected


@pytest.mark.parametrize(
    ("word", "state", "asked"),
    [
        ("typing", State.TYPING, "typing"),
        ("TYPING", State.TYPING, "typing"),
        ("Recording", State.RECORDING, "recording"),
        ("pause", State.PAUSED, "pause"),
        ("Paused", State.PAUSED, "paused"),
    ],
)
def test_a_state_is_read_in_any_letter_case(word: str, state: State, asked: str) -> None:
    command = read(state=word)
    assert (command.state, command.asked) == (state, asked)


@pytest.mark.parametrize(
    ("duration", "seconds"), [(0, 0), (1, 1), (60, 60), (61, 60), (300, 60), (5.0, 5), (10**30, 60), (None, 0)]
)
def test_a_duration_is_truncated_to_60_and_never_refused_for_its_size(duration: Any, seconds: int) -> None:
    assert read(duration=duration).duration_s == seconds


@pytest.mark.parametrize("word", ["pause", "paused"])
@pytest.mark.parametrize("duration", [-1, 0, 30])
def test_a_pause_ignores_its_duration(word: str, duration: int) -> None:
    assert read(state=word, duration=duration).duration_s == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"typing"',
        b"null",
        b"\xff\xfe",
        b'{"number": 5511999999999, "state": "typing"}',
        b'{"number": "5511999999999", "state": true}',
        b'{"number": "5511999999999", "state": "typing", "duration": "5"}',
        b'{"number": "5511999999999", "state": "typing", "duration": true}',
        b'{"number": "5511999999999", "state": "typing", "duration": 2.5}',
        b'{"number": "5511999999999", "state": "typing", "duration": NaN}',
        b'{"number": "5511999999999", "state": "typing", "duration": 1e999}',
        b'{"number": "5511999999999", "state": "typing", "x": NaN}',
        b'{"number": "5511999999999", "state": "typing", "x": "\xff"}',
        b'{"number": "5511999999999", "state": "typing", "x": ' + b"[" * 1900 + b"]" * 1900 + b"}",
        b'{"number": "5511999999999", "state": "typing"} trailing',
        b'{"number": "\\ud800", "state": "typing"}',
    ],
)
def test_what_is_no_object_of_the_right_types_is_an_invalid_body(body: bytes) -> None:
    assert message_of(body) == "Invalid request body"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "Number is required"),
        (b'{"number": "", "state": "typing"}', "Number is required"),
        (b'{"number": null, "state": "typing"}', "Number is required"),
        (b'{"number": "x"}', "State is required. Use 'typing', 'recording', or 'pause'"),
        (b'{"number": "x", "state": ""}', "State is required. Use 'typing', 'recording', or 'pause'"),
        (b'{"number": "x", "state": "online"}', "Invalid state. Use 'typing', 'recording', or 'pause'"),
        (b'{"number": "x", "state": "typing"}', "Invalid number"),
        (
            b'{"number": "5511999999999", "state": "typing", "duration": -1}',
            "Invalid duration. Use an integer from 0 to 60",
        ),
    ],
)
def test_each_field_has_its_own_message(body: bytes, message: str) -> None:
    assert message_of(body) == message


def test_unknown_fields_are_ignored_and_the_last_of_a_duplicate_counts() -> None:
    body = b'{"number": "1", "number": "5511999999999", "state": "typing", "extra": {"a": [1]}}'
    assert bodies.presence(body, 600).chat.jid == "5511999999999@s.whatsapp.net"


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_the_documented_400(body: bytes) -> None:
    try:
        bodies.presence(body, 600)
    except BadRequest as error:
        assert error.message


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.sampled_from(["number", "state", "duration", "x"]), JSON))
def test_no_json_raises_anything_but_the_documented_400(fields: dict[str, Any]) -> None:
    try:
        command = bodies.presence(json.dumps(fields).encode(), 600)
    except BadRequest as error:
        assert error.message
    else:
        assert 0 <= command.duration_s <= 60


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"hold": True, "duration": 300}, 300),
        ({"hold": True, "duration": 10_000}, 600),
        ({"hold": True}, 600),
        ({"hold": False, "duration": 300}, 60),
        ({"hold": None, "duration": 300}, 60),
        ({"hold": True, "state": "pause", "duration": 300}, 0),
    ],
)
def test_what_is_held_lasts_longer_and_until_its_message_where_nothing_is_said(
    fields: dict[str, object], seconds: int
) -> None:
    command = read(**fields)
    assert (command.duration_s, command.hold) == (seconds, bool(fields["hold"]) and seconds > 0)


@pytest.mark.parametrize("hold", ["true", 1, [], {}])
def test_hold_is_yes_or_no(hold: object) -> None:
    with pytest.raises(InvalidBody):
        read(hold=hold)
