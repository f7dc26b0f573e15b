"""The URL of a Redis behind Sentinel."""

import pytest

from gateway.store.sentinel import Address


def test_a_url_names_the_sentinels_and_the_primary() -> None:
    address = Address.parse("sentinel://me:s%40cret@a:1,b:2,c/pg?db=3")
    assert address == Address((("a", 1), ("b", 2), ("c", 26379)), "pg", "me", "s@cret", 3)


@pytest.mark.parametrize("url", ["sentinel:///pg", "sentinel://a:1", "sentinel://a:x/pg"])
def test_a_url_that_names_too_little_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel://host|invalid literal"):
        Address.parse(url)
