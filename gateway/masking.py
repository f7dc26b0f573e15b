"""What may be shown of settings: secrets are masked, everything else stays as it is."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gateway.settings import Settings

_MASK = "***"
_SECRET = {"secrets": {"pepper", "encryption_keys", "admin_key"}, "upstream": {"credential"}}


def masked_url(url: str) -> str:
    """Return the URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{_MASK}@{host}"))


def masked_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return every setting by section and key."""
    shown: dict[str, dict[str, Any]] = {
        section: {key: _masked(section, key, value) for key, value in pairs.items()}
        for section, pairs in msgspec.to_builtins(settings).items()
    }
    shown["redis"]["url"] = masked_url(settings.redis.url)
    return shown


def _masked(section: str, key: str, value: Any) -> Any:
    return _MASK if value and key in _SECRET.get(section, ()) else value
