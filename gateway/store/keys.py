"""Every key in Redis, so that two modules never guess one.

Each carries a tag, in braces, that says which keys are always on one server (a slot of a cluster): those of one
instance's chats that of its partition, `{00}` to `{63}`; those of tenants `{t}`. No script touches two tags.
"""

import zlib
from functools import lru_cache
from typing import Final

PARTITIONS: Final = 64
"""How many tags the chats are spread over. A name in Redis: no installation may ever change it."""

SOONER: Final = "pg:sooner"
"""A channel, not a key: the partition in which something is due sooner than workers look."""

_T: Final = "pg:{t}:"

NONE: Final = _T
"""No key: what a script is given that may take one, and takes none."""

PROCESSES: Final = _T + "processes"
"""Every process that said lately that it runs, by when that is to be forgotten, in Unix seconds."""

WORKERS: Final = _T + "workers"
"""Every worker that said lately that it works, by when that is to be forgotten, in Unix milliseconds."""

TROUBLES: Final = _T + "troubles"
"""Hash: process -> what fails at upstreams for whom, as it said last, and until when that holds."""

ACCOUNTS: Final = _T + "accounts"
"""Hash: account name -> account id."""

TOKEN_IDS: Final = _T + "tokens"
"""Hash: token id -> token hash, over all accounts."""

EXPIRING: Final = _T + "expiring"
"""Sorted set: hashes of tokens in their grace time, by its end in Unix milliseconds."""

LEAVING: Final = _T + "leaving"
"""Set: ids of instances that are deleted and may still owe a pause."""

LEAVING_ACCOUNTS: Final = _T + "leaving:accounts"
"""Set: ids of accounts that are deleted and may still have such an instance."""

FORMERS: Final = _T + "leaving:upstreams"
"""Set: ids under which instances that moved kept their chats before, and may still owe a pause where they were."""

AUDIT: Final = _T + "audit"
"""Stream: what the operator changed, bounded; before 0.2.0 every change."""

AUDITED: Final = _T + "audited"
"""Sorted set: ids of accounts that changed something themselves, by when they last did, in Unix milliseconds."""

CHANGES: Final = _T + "changes"
"""The number of the latest change to accounts, instances or tokens."""

RESTORING: Final = _T + "restoring"
"""There only while a backup is read back; found at another time, that was interrupted."""


def account(account_id: str) -> str:
    """Return the key of an account's hash."""
    return f"{_T}account:{account_id}"


def instances(account_id: str) -> str:
    """Return the key of an account's hash of instance name -> instance id."""
    return f"{_T}account:{account_id}:instances"


def account_tokens(account_id: str) -> str:
    """Return the key of an account's hash of token id -> token hash."""
    return f"{_T}account:{account_id}:tokens"


def instance(instance_id: str) -> str:
    """Return the key of an instance's hash."""
    return f"{_T}instance:{instance_id}"


def instance_of(chats_id: str) -> str:
    """Return the id of the instance that keeps, or kept, its chats under this id (see `model.Instance.chats_id`)."""
    return chats_id.partition("~")[0]


def former(chats_id: str) -> str:
    """Return the key of the hash of where an instance was when it kept its chats under this id."""
    return f"{_T}former:{chats_id}"


def session(session_key: str) -> str:
    """Return the key of the hash of who uses a session at an upstream: id of chats -> account id."""
    return f"{_T}session:{session_key}"


def instance_tokens(instance_id: str) -> str:
    """Return the key of an instance's hash of token id -> token hash."""
    return f"{_T}instance:{instance_id}:tokens"


def audit(account_id: str) -> str:
    """Return the key of an account's stream of what it changed, and of what the operator changed for it; bounded."""
    return f"{AUDIT}:{account_id}"


def token(token_hash: str) -> str:
    """Return the key of a token's hash; the token itself is never in Redis."""
    return f"{_T}token:{token_hash}"


def window(token_hash: str, limit_class: str) -> str:
    """Return the key of a token's sliding log."""
    return f"{_T}w:{limit_class}:{token_hash}"


def failures(address: str) -> str:
    """Return the key of a client address's sliding log of unknown tokens."""
    return f"{_T}w:fail:{address}"


@lru_cache(maxsize=8192)
def partition(chats_id: str) -> int:
    """Return the partition of an instance's chats, 0 to 63: for every place where it ever kept them the same."""
    return zlib.crc32(instance_of(chats_id).encode()) % PARTITIONS


def queue(number: int) -> str:
    """Return the key of a partition's queue: its instances by when the first of their chats wakes up, in Unix ms."""
    return f"pg:{{{number:02}}}:queue"


def late(number: int) -> str:
    """Return the key of a partition's records whose pause has failed, by the pause's own time in Unix ms."""
    return f"pg:{{{number:02}}}:late"


def resting(number: int) -> str:
    """Return the key of a partition's instances whose account is to be unavailable, by when, in Unix ms."""
    return f"pg:{{{number:02}}}:quiet"


def _chats(chats_id: str, what: str) -> str:
    return f"pg:{{{partition(chats_id):02}}}:{what}:{chats_id}"


def record(chats_id: str, jid: str) -> str:
    """Return the key of a chat's record."""
    return f"{_chats(chats_id, 'c')}:{jid}"


def chats(chats_id: str) -> str:
    """Return the key of an instance's sorted set of chats by when they wake up, in Unix milliseconds."""
    return _chats(chats_id, "chats")


def ends(chats_id: str) -> str:
    """Return the key of an instance's stream of indicators that ended, and why; bounded, and gone after the history."""
    return _chats(chats_id, "ends")
