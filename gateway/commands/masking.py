"""What may be shown of settings: secrets are masked, everything else stays as it is."""

import re
from typing import Any

import msgspec

from gateway.settings import Settings

_MASK = "***"
_IN_AUTHORITY = re.compile(r"(?<=://)([^:/?#]*):[^/?#]*@")
_IN_QUERY = re.compile(r"(?<=password=)[^&]*")
_SECRET = {"secrets": {"pepper", "encryption_keys", "admin_key"}, "upstream": {"credential"}}


def masked_url(url: str) -> str:
    """Return the URL without its password, wherever redis-py would read one."""
    return _IN_QUERY.sub(_MASK, _IN_AUTHORITY.sub(rf"\1:{_MASK}@", url))


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
