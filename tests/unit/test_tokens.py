"""Tokens: their shape, their checksum, and what Redis sees of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tenants import tokens
from gateway.tenants.cipher import Cipher, CredentialUnreadable


@pytest.mark.parametrize(("kind", "prefix"), [("account", "pga_"), ("instance", "pgi_")])
def test_a_made_token_tells_its_kind_and_is_plausible(kind: tokens.Kind, prefix: str) -> None:
    token = tokens.make(kind)
    assert token.startswith(prefix)
    assert tokens.is_plausible(token)


@given(st.integers(4, 75), st.sampled_from("0123456789abcdefgh"))
def test_one_wrong_character_is_seen_without_io(position: int, character: str) -> None:
    token = tokens.make("account")
    typo = token[:position] + character + token[position + 1 :]
    assert tokens.is_plausible(typo) == (typo == token)


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "x" * 257, "with a space in it", "ümläut-token-1234", "pga_"])
def test_what_could_not_exist_is_not_plausible(token: str) -> None:
    assert not tokens.is_plausible(token)


def test_a_callers_own_token_is_plausible_but_may_not_look_like_ours() -> None:
    assert tokens.is_acceptable("my-own-token-1234")
    assert not tokens.is_acceptable(tokens.make("instance"))


def test_the_hash_depends_on_the_pepper_and_hides_the_token() -> None:
    token = tokens.make("account")
    one, other = tokens.TokenHasher(b"one")(token), tokens.TokenHasher(b"other")(token)
    assert one != other
    assert token not in one


def test_a_credential_is_readable_under_any_listed_key_and_no_other() -> None:
    from cryptography.fernet import Fernet

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Cipher([old]).encrypt("secret")
    assert "secret" not in sealed
    assert Cipher([new, old]).decrypt(sealed) == "secret"
    with pytest.raises(CredentialUnreadable):
        Cipher([new]).decrypt(sealed)
    with pytest.raises(CredentialUnreadable):
        Cipher([]).decrypt(sealed)
