"""Numbers become chats (contract section 4.2)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.presence.errors import InvalidNumber
from gateway.presence.model import Chat

PHONE = st.text(string.digits, min_size=7, max_size=15)


@pytest.mark.parametrize(
    ("number", "jid"),
    [
        ("5511999999999", "5511999999999@s.whatsapp.net"),
        ("+55 (11) 99999-9999", "5511999999999@s.whatsapp.net"),
        ("55.11.99999.9999", "5511999999999@s.whatsapp.net"),
        ("5511999999999@s.whatsapp.net", "5511999999999@s.whatsapp.net"),
        ("5511999999999@c.us", "5511999999999@s.whatsapp.net"),
        ("5511999999999:12@s.whatsapp.net", "5511999999999@s.whatsapp.net"),
        ("5511999999999@S.WhatsApp.net", "5511999999999@s.whatsapp.net"),
        ("120363025246125486@g.us", "120363025246125486@g.us"),
        ("5511999999999-1391234567@g.us", "5511999999999-1391234567@g.us"),
        ("123456789012345@lid", "123456789012345@lid"),
        ("123456789012345:3@lid", "123456789012345@lid"),
        ("120363144038483540@newsletter", "120363144038483540@newsletter"),
        ("status@broadcast", "status@broadcast"),
        ("1234567", "1234567@s.whatsapp.net"),
        ("123456789012345", "123456789012345@s.whatsapp.net"),
    ],
)
def test_every_accepted_spelling_has_one_canonical_jid(number: str, jid: str) -> None:
    assert Chat.parse(number) == Chat(jid)


@pytest.mark.parametrize(
    "number",
    [
        "123456",
        "1234567890123456",
        "abc",
        "55119x9999999",
        "@s.whatsapp.net",
        "5511999999999@",
        "5511999999999@example.com",
        "5511999999999@s.whatsapp.net@g.us",
        "list@broadcast",
        "٥٥١١٩٩٩٩٩٩٩٩٩",
        "5511999999999\x00",
        "5511999999999\n",
        "5511\n999999999",
        "1" * 100_000,
        "5511999999999:123456@s.whatsapp.net",
        " ",
        "+",
        "-@g.us",
    ],
)
def test_what_whatsapp_could_not_have_is_an_invalid_number(number: str) -> None:
    with pytest.raises(InvalidNumber):
        Chat.parse(number)


@given(PHONE, st.sampled_from(["{}", "+{}", "{}@s.whatsapp.net", "{}@c.us", "{}:7@c.us", " {} ", "({})"]))
def test_two_spellings_of_one_phone_are_one_chat(phone: str, spelling: str) -> None:
    assert Chat.parse(spelling.format(phone)) == Chat.parse(phone)


@given(PHONE)
def test_a_canonical_jid_parses_to_itself(phone: str) -> None:
    chat = Chat.parse(phone)
    assert Chat.parse(chat.jid) == chat


@given(st.text(max_size=80))
def test_any_text_is_a_canonical_chat_or_an_invalid_number(text: str) -> None:
    try:
        chat = Chat.parse(text)
    except InvalidNumber:
        return
    # Safe as a part of a Redis key and of a job's id.
    assert set(chat.jid) <= set(string.ascii_lowercase + string.digits + "@.-")
