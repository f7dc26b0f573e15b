"""Where instances' sessions live: changed in one step, so that what is owed where one was is still paused there.

An instance that follows its account's upstream, or the service's, has a copy of it in its record. So a change of either
is a move of every follower: in the same step for an account's, at a gateway's start for the service's (`settle`).
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from redis.asyncio import Redis

from gateway.presence.errors import AccountNotFound, ChangedMeanwhile, Conflict, InstanceNotFound
from gateway.presence.model import Target
from gateway.store import keys
from gateway.store.redis import Script
from gateway.tenants.audit import CLI, entry
from gateway.tenants.reading import read_row, read_rows, refuse
from gateway.tenants.removal import RedisRemoval
from gateway.tenants.rows import UPSTREAM_FIELDS, Row, Rows, flat
from gateway.tenants.sessions import Sessions

TRIES = 10
"""Somebody else changes the same account at the same moment; ten times in a row nobody does."""


@dataclass(frozen=True, slots=True)
class _Move:
    """One instance's new place, as `move.lua` takes it."""

    id: str
    version: str
    set: list[str]
    drop: list[str]
    session: str
    former: list[str]


class RedisMoves:
    """Moves instances. Every method is safe to repeat; whatever dies in between, a worker's `clean_up` goes on."""

    def __init__(
        self,
        redis: Redis,
        rows: Rows,
        sessions: Sessions,
        removal: RedisRemoval,
        *,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        """Take `clock_us` in the place of Redis' own clock in tests that run in virtual time."""
        self._redis = redis
        self._rows = rows
        self._sessions = sessions
        self._removal = removal
        self._clock_us = clock_us
        self._script = Script(redis, "tenants/move")

    async def move_instance(
        self, instance_id: str, upstream: Target, *, by: str = CLI, is_same_phone: bool = False
    ) -> None:
        """Give an instance an upstream of its own; every process sees it with its next request.

        What it owes is paused where it was, now. With `is_same_phone` its session has only another address: what it
        owes is paused there, at its time.

        Raises:
            InstanceNotFound: it is gone, or going.
            Conflict: another account uses that session.
        """
        for _ in range(TRIES):
            row = await read_row(self._redis, keys.instance(instance_id))
            if row.get("status") != "active":
                raise InstanceNotFound
            account_id = row["account"]
            account = await read_row(self._redis, keys.account(account_id))
            wanted = self._rows.own(row, upstream)
            move = self._move(instance_id, row, account, wanted, "", is_same_phone=is_same_phone)
            told = entry(by, "instance.move", instance_id, account_id, upstream.kind, for_operator=upstream.where)
            if await self._run(account_id, [move], told=told):
                return await self._removal.expedite()
        raise ChangedMeanwhile

    async def set_upstream(self, account_id: str, upstream: Target | None, *, by: str = CLI) -> None:
        """Choose the upstream of those of an account's instances that have none of their own; None: the service's.

        Raises:
            AccountNotFound: it is gone, or going.
            Conflict: another account uses one of the sessions that they would have there.
        """
        given = self._rows.upstream(upstream)
        dropped = [name for name in UPSTREAM_FIELDS if name not in given]
        kind, where = (upstream.kind, upstream.where) if upstream else ("default", "")
        told = entry(by, "account.upstream", account_id, account_id, kind, for_operator=where)
        for _ in range(TRIES):
            before = await read_row(self._redis, keys.account(account_id))
            if not before:
                raise AccountNotFound
            account = {name: value for name, value in before.items() if name not in dropped} | given
            every = await self._instances(account_id)
            moves = self._following(account_id, before, account, every)
            if await self._run(account_id, moves, told=told, count=len(every), given=flat(given), dropped=dropped):
                return await self._removal.expedite()
        raise ChangedMeanwhile

    async def settle(self, *, is_same_phone: bool = False) -> int:
        """Write down where each instance lives, as an older version did not, or as the settings say now.

        Sessions that two accounts used before they go on using; `check` names them. Returns how many records changed.
        """
        changed = 0
        for account_id in (await read_row(self._redis, keys.ACCOUNTS)).values():
            changed += await self._settle_account(account_id, is_same_phone=is_same_phone)
        if changed:
            await self._removal.expedite()
        return changed

    async def _settle_account(self, account_id: str, *, is_same_phone: bool) -> int:
        for _ in range(TRIES):
            account = await read_row(self._redis, keys.account(account_id))
            every = await self._instances(account_id)
            moves = [
                *self._following(account_id, account, account, every, is_same_phone=is_same_phone),
                *self._unclaimed(account, every),
            ]
            if not moves or await self._run(account_id, moves, may_share=True):
                return len(moves)
        return 0  # somebody else settles it at this very moment

    async def _instances(self, account_id: str) -> dict[str, Row]:
        ids = list((await read_row(self._redis, keys.instances(account_id))).values())
        rows = await read_rows(self._redis, [keys.instance(instance_id) for instance_id in ids])
        return dict(zip(ids, rows, strict=True))

    def _following(
        self, account_id: str, before: Row, account: Row, every: Mapping[str, Row], *, is_same_phone: bool = False
    ) -> list[_Move]:
        """Say what has to change about the instances that have no upstream of their own."""
        moves = []
        for instance_id, row in every.items():
            if row.get("status") != "active" or self._rows.has_own(row):
                continue
            wanted, follows = self._rows.followed(row, account_id, account)
            if not self._rows.is_kept(row, wanted, follows):
                move = self._move(instance_id, row, before, wanted, follows, after=account, is_same_phone=is_same_phone)
                moves.append(move)
        return moves

    def _unclaimed(self, account: Row, every: Mapping[str, Row]) -> Iterable[_Move]:
        """Say which instances use a session that is not written down as used."""
        for instance_id, row in every.items():
            if row.get("status") == "active" and self._rows.has_own(row):
                session = self._sessions.key(self._rows.read_instance(instance_id, row, account).target)
                if session and session != row.get("uses"):
                    yield _Move(instance_id, row["version"], [], [], session, [])

    def _move(
        self,
        instance_id: str,
        row: Row,
        account: Row,
        wanted: Target,
        follows: str,
        *,
        after: Row | None = None,
        is_same_phone: bool,
    ) -> _Move:
        was = self._rows.read_instance(instance_id, row, account).target
        stays = is_same_phone or not was.kind or self._sessions.are_one_place(was, wanted)
        fields = self._rows.kept(wanted, follows, after or account)
        return _Move(
            instance_id,
            row["version"],
            flat(fields if was == wanted else fields | {"version": secrets.token_hex(4)}),
            [name for name in (*UPSTREAM_FIELDS, "follows") if name not in fields],
            self._sessions.key(wanted),
            [] if stays else flat(self._rows.former(row, account) | {"version": secrets.token_hex(4)}),
        )

    async def _run(
        self,
        account_id: str,
        moves: list[_Move],
        *,
        told: str = "",
        count: int | str = "",
        given: list[str] | None = None,
        dropped: list[str] | None = None,
        may_share: bool = False,
    ) -> bool:
        """Take the step; False where something changed since it was thought out."""
        words = (
            "" if self._clock_us is None else self._clock_us(),
            account_id,
            json.dumps([asdict(move) for move in moves]),
            count,
            json.dumps(given or []),
            json.dumps(dropped or []),
            told,
            "1" if may_share else "",
        )
        verdict = await self._script((keys.account(account_id), keys.instances(account_id)), words)
        refuse(verdict, gone=AccountNotFound, taken=Conflict)
        return bool(verdict == b"ok")
