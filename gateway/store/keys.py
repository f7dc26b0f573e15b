"""Every key in Redis, so that two modules never guess one."""

from typing import Final

PREFIX: Final = "pg:"
"""Short, because every owed pause carries it."""

QUEUE: Final = "pg:queue"
"""arq's queue: a sorted set of job ids by due time, in Unix milliseconds; of a claimed one, by its lease's end."""

OWED: Final = "pg:owed"
"""Every record that waits for a wake-up, by the wake-up's time in Unix milliseconds; the sweeper reads it."""

LATE: Final = "pg:late"
"""Records whose pause has failed and is tried again, by the pause's own time in Unix milliseconds; for metrics."""

RESTING: Final = "pg:quiet"
"""Instances whose account is to be unavailable, by when, in Unix milliseconds."""

PROCESSES: Final = "pg:processes"
"""Every process that said lately that it runs, by when that is to be forgotten, in Unix seconds."""

TROUBLES: Final = "pg:troubles"
"""Hash: process -> what fails at upstreams for whom, as it said last, and until when that holds."""

ACCOUNTS: Final = "pg:accounts"
"""Hash: account name -> account id."""

TOKEN_IDS: Final = "pg:tokens"  # noqa: S105 - a key of Redis
"""Hash: token id -> token hash, over all accounts."""

EXPIRING: Final = "pg:expiring"
"""Sorted set: hashes of tokens in their grace time, by its end in Unix milliseconds."""

LEAVING: Final = "pg:leaving"
"""Set: ids of instances that are deleted and may still owe a pause."""

LEAVING_ACCOUNTS: Final = "pg:leaving:accounts"
"""Set: ids of accounts that are deleted and may still have such an instance."""

FORMERS: Final = "pg:leaving:upstreams"
"""Set: ids under which instances that moved kept their chats before, and may still owe a pause where they were."""

AUDIT: Final = "pg:audit"
"""Stream: what the operator changed, bounded; before 0.2.0 every change."""

AUDITED: Final = "pg:audited"
"""Sorted set: ids of accounts that changed something themselves, by when they last did, in Unix milliseconds."""

CHANGES: Final = "pg:changes"
"""The number of the latest change to accounts, instances or tokens."""

RESTORING: Final = "pg:restoring"
"""There only while a backup is read back; found at another time, that was interrupted."""


def record(instance_id: str, jid: str) -> str:
    """Return the key of a chat's record."""
    return f"{PREFIX}c:{instance_id}:{jid}"


def of_chat(instance_id: str, jid: str) -> tuple[str, str, str]:
    """Return the keys that `record.lua` works on."""
    return record(instance_id, jid), OWED, QUEUE


def account(account_id: str) -> str:
    """Return the key of an account's hash."""
    return f"{PREFIX}account:{account_id}"


def instances(account_id: str) -> str:
    """Return the key of an account's hash of instance name -> instance id."""
    return f"{PREFIX}account:{account_id}:instances"


def account_tokens(account_id: str) -> str:
    """Return the key of an account's hash of token id -> token hash."""
    return f"{PREFIX}account:{account_id}:tokens"


def instance(instance_id: str) -> str:
    """Return the key of an instance's hash."""
    return f"{PREFIX}instance:{instance_id}"


def instance_of(chats_id: str) -> str:
    """Return the id of the instance that keeps, or kept, its chats under this id (see `model.Instance.chats_id`)."""
    return chats_id.partition("~")[0]


def former(chats_id: str) -> str:
    """Return the key of the hash of where an instance was when it kept its chats under this id."""
    return f"{PREFIX}former:{chats_id}"


def session(session_key: str) -> str:
    """Return the key of the hash of who uses a session at an upstream: id of chats -> account id."""
    return f"{PREFIX}session:{session_key}"


def instance_tokens(instance_id: str) -> str:
    """Return the key of an instance's hash of token id -> token hash."""
    return f"{PREFIX}instance:{instance_id}:tokens"


def chats(chats_id: str) -> str:
    """Return the key of an instance's sorted set of chats that show or owe something."""
    return f"{PREFIX}chats:{chats_id}"


def ends(chats_id: str) -> str:
    """Return the key of an instance's stream of indicators that ended, and why; bounded, and gone after the history."""
    return f"{PREFIX}ends:{chats_id}"


def audit(account_id: str) -> str:
    """Return the key of an account's stream of what it changed, and of what the operator changed for it; bounded."""
    return f"{AUDIT}:{account_id}"


def token(token_hash: str) -> str:
    """Return the key of a token's hash; the token itself is never in Redis."""
    return f"{PREFIX}token:{token_hash}"


def window(token_hash: str, limit_class: str) -> str:
    """Return the key of a token's sliding log."""
    return f"{PREFIX}w:{limit_class}:{token_hash}"


def failures(address: str) -> str:
    """Return the key of a client address's sliding log of unknown tokens."""
    return f"{PREFIX}w:fail:{address}"
