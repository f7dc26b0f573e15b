"""How a test of the console arranges the world: through the objects of the services, as commands and clients would."""

import secrets
import time
from dataclasses import dataclass, field

from gateway.presence.model import Chat, Instance, State, Target
from gateway.presence.steps import ChatKey, Grant, RefreshPolicy, Report
from gateway.store import keys
from gateway.store.redis import command
from gateway.store.troubles import Trouble
from gateway.tenants.audit import OPERATOR
from gateway.tenants.views import AccountView
from gateway.wiring import Services

OPERATOR_KEY = "operator-key-of-the-tests"
_REFRESH_POLICY = RefreshPolicy(refresh_s=60, life_s=60)


@dataclass(frozen=True)
class Opened:
    """An account that was opened, and its only token: its id, and in clear."""

    id: str
    token_id: str
    token: str


@dataclass(frozen=True)
class Office:
    """The operator's hand, and an upstream at `upstream_url`.

    It says of a session what `states` has for it, and puts down in `told` what it was told.
    """

    services: Services
    upstream_url: str
    states: dict[str, str] = field(default_factory=dict)
    told: list[dict[str, str]] = field(default_factory=list)

    async def open_account(self, name: str, token_name: str = "first") -> Opened:
        directory = self.services.directory
        account = await directory.create_account(name, by=OPERATOR)
        token = await directory.issue_token(account.id, name=token_name, by=OPERATOR)
        await directory.revoke_token(directory.rows.token_id(account.token), by=OPERATOR)
        return Opened(account.id, token.id, token.token)

    async def accounts(self) -> list[AccountView]:
        return await self.services.directory.accounts()

    async def add_instance(
        self, account: str, name: str, state: str = "connected", *, url: str = "", session: str = ""
    ) -> Instance:
        self.states[session or name] = state
        upstream = Target("sandbox", url or self.upstream_url, session or name)
        made = await self.services.directory.create_instance(account, name, upstream=upstream, by=OPERATOR)
        return await self.services.directory.instance_by_id(made.id)

    async def add_token(self, account: str, name: str) -> str:
        return (await self.services.directory.issue_token(account, name=name, by=OPERATOR)).id

    async def show(
        self,
        account: str,
        instance: str,
        chat: str,
        *,
        state: State = State.TYPING,
        ends_in_s: float = 10.0,
        overdue_s: float = 0.0,
    ) -> ChatKey:
        """Promise and settle as a command does; one that is overdue was answered long ago."""
        named = {one.name: one for one in await self.services.directory.instances(account)}
        shown_on = named.get(instance) or await self.add_instance(account, instance)
        key = ChatKey(shown_on.id, Chat(chat))
        ago_s = overdue_s + ends_in_s if overdue_s else 0.0
        await self._command(key, state, round(ends_in_s * 1000), round(ago_s * 1000))
        if overdue_s:  # no worker came since it was due
            due_ms = round((time.time() - overdue_s) * 1000)
            await command(self.services.redis, "ZADD", keys.chats(key.instance_id), "XX", due_ms, chat)
            await command(
                self.services.redis, "ZADD", keys.queue(keys.partition(key.instance_id)), due_ms, key.instance_id
            )
        return key

    async def fail(self, account: str, instance: str, chat: str, outcome: str) -> None:
        """Promise to type, and let the upstream refuse it."""
        named = {one.name: one for one in await self.services.directory.instances(account)}
        report = Report("failed", _REFRESH_POLICY, 0, 0, outcome)
        await self._settle(ChatKey(named[instance].id, Chat(chat)), State.TYPING, 5000, report)

    async def say_trouble(
        self, instance: Instance, outcome: str, *, failed: int, is_open: bool = False, ok_s: float | None = None
    ) -> None:
        """Say what a process says of its calls for an instance."""
        now_s, target = time.time(), instance.target
        where = (instance.account_id, instance.id, target.kind, target.url, target.session)
        trouble = Trouble(*where, outcome, failed, now_s - 60, now_s - 1, ok_s, is_open)
        await self.services.troubles.say("a process", [trouble], lasts_s=60)

    async def pause_all(self) -> None:
        ids = await self.services.directory.chats_ids(account.id for account in await self.accounts())
        for shown in await self.services.showing.of(ids):
            await self._command(ChatKey(shown.instance_id, Chat(shown.chat)), State.PAUSED, 0, 0)

    async def use(self, token_id: str, used: int) -> None:
        token = await self.services.directory.token(token_id)
        for _ in range(used):
            await self.services.admission.admit(token.hash)

    async def revoke(self, token_id: str) -> None:
        await self.services.directory.revoke_token(token_id, by=OPERATOR)

    async def is_valid(self, token: str) -> bool:
        return await self.services.directory.identify(self.services.hasher(token)) is not None

    async def write(self, key: str, **fields: str) -> None:
        """Write what no door would let in."""
        assert await self.services.redis.exists(key)
        for name, value in fields.items():
            await command(self.services.redis, "HSET", key, name, value)

    async def note(self, text: str) -> None:
        """Write an entry of the audit log that is nothing but `text`."""
        fields = [part for name in ("actor", "action", "subject", "account", "detail") for part in (name, text)]
        await command(self.services.redis, "XADD", keys.AUDIT, "*", *fields)

    async def _command(self, key: ChatKey, op: State, duration_ms: int, answered_ms_ago: int) -> None:
        await self._settle(key, op, duration_ms, Report("ok", _REFRESH_POLICY, answered_ms_ago, answered_ms_ago))

    async def _settle(self, key: ChatKey, op: State, duration_ms: int, report: Report) -> None:
        grant = await self.services.indicators.promise(
            key, op, duration_ms, owner=secrets.token_hex(8), ticket=None, trace="", refresh=_REFRESH_POLICY
        )
        assert isinstance(grant, Grant)
        await self.services.indicators.settle_command(grant, report, duration_ms)
