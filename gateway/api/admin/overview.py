"""What happens now: what shows and is owed, what fails, minutes used, the latest changes; and the keys' rotation."""

import time

from aiohttp import web

from gateway.api.admin import bodies, reasons
from gateway.api.admin.accounts import chosen_accounts
from gateway.api.admin.answers import Entries, Entry, Resealed, Usage, Used
from gateway.api.admin.chat_answers import End as ToldEnd
from gateway.api.admin.chat_answers import Indicator as Told
from gateway.api.admin.chat_answers import Indicators, Troubles
from gateway.api.admin.chat_answers import Trouble as ToldTrouble
from gateway.api.admin.chat_names import ChatIds
from gateway.api.admin.gate import AdminCaller
from gateway.api.instances import told_target
from gateway.presence.model import Instance
from gateway.process import envelope
from gateway.store.ends import End
from gateway.store.problems import problems
from gateway.store.showing import MOST, Indicator
from gateway.store.troubles import Trouble
from gateway.tenants.views import TokenView
from gateway.wiring import Services

_MOST_TROUBLES = 50


class OverviewRoutes:
    """Lists for people, bounded; an account sees its own part."""

    def __init__(self, services: Services) -> None:
        """Read from the services's store."""
        self._services = services
        self._ids = ChatIds(services.hasher)

    async def indicators(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer the newest indicators that show now, the last that ended, how many pauses are owed, and how late."""
        accounts = await chosen_accounts(self._services, request, caller)
        ids = await self._services.directory.chats_ids(account.id for account in accounts)
        shown = await self._services.showing.of(ids)
        ended = await self._services.ends.of(ids)
        seen = {one.instance_id for one in shown} | {one.instance_id for one in ended}
        instances = {one: await self._instance(one) for one in seen}
        owed, oldest_s = await self._services.showing.owed(None if _is_everything(request, caller) else ids)
        now_s = time.time()
        listed = [
            Told(*self._named(one, instances[one.instance_id]), one.ends_s, round(one.overdue_s(now_s), 3))
            for one in shown
        ]
        over = [ToldEnd(*self._named(one, instances[one.instance_id]), one.ended_s, one.by) for one in ended]
        return envelope.success(Indicators(owed, round(oldest_s, 3), listed, over))

    async def troubles(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer the instances whose calls failed lately, those that failed last first, and how much is owed."""
        accounts = {account.id for account in await chosen_accounts(self._services, request, caller)}
        failing = [one for one in await self._services.troubles.all() if one.account_id in accounts]
        failing.sort(key=lambda one: one.last_s, reverse=True)
        named = [(one, await self._instance(one.instance_id)) for one in failing[:_MOST_TROUBLES]]
        listed = [_told_trouble(one, instance, caller) for one, instance in named if instance]
        return envelope.success(Troubles(*await self._owed(request, caller, accounts), listed))

    async def usage(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer how much of this minute each token has used, `MOST` tokens at the most."""
        default = self._services.settings.limits.per_minute
        limits: list[int] = []
        tokens: list[TokenView] = []
        for account in await chosen_accounts(self._services, request, caller):
            if len(tokens) >= MOST:
                break
            found = await self._services.directory.tokens(account.id)
            tokens += found
            limits += [account.limits.per_minute or default] * len(found)
        used = await self._services.usage.of(tokens[:MOST])
        return envelope.success(
            Usage([Used(one.token_id, limit, one.used, one.reset_s) for one, limit in zip(used, limits, strict=False)])
        )

    async def audit(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer the latest changes, the newest first."""
        entries = await self._services.audit.entries(bodies.count(request), account_id=caller.account_id)
        return envelope.success(
            Entries(
                [
                    Entry(entry.id, entry.at_s, entry.actor, entry.action, entry.subject, entry.detail)
                    for entry in entries
                ]
            )
        )

    async def rotate_keys(self, request: web.Request, caller: AdminCaller) -> web.Response:  # noqa: ARG002
        """Encrypt every credential under the newest key; asked again, it goes on where it was interrupted."""
        done = await self._services.tenancy.reseal(by=caller.actor)
        return envelope.success(Resealed(done.count, done.unreadable))

    async def _owed(
        self, request: web.Request, caller: AdminCaller, accounts: set[str]
    ) -> tuple[int, float, list[str]]:
        """Say what is owed, how late, and what is wrong: of everything to the operator, else of some accounts."""
        if not _is_everything(request, caller):
            chats_ids = await self._services.directory.chats_ids(accounts)
            owed, oldest_s = await self._services.showing.owed(chats_ids)
            now_s = time.time()
            # A pause that failed is owed again in the future: its own time stands with what shows.
            overdue_s = [one.overdue_s(now_s) for one in await self._services.showing.of(chats_ids)]
            return owed, round(max([oldest_s, *overdue_s]), 3), []
        health, present = await self._services.health.look(), await self._services.processes.present()
        wrong = list(problems(health, {process.role for process in present}))
        return health.backlog.owed, round(health.backlog.oldest_overdue_s, 3), wrong

    async def _instance(self, instance_id: str) -> Instance | None:
        return await self._services.directory.find_by_id(instance_id)

    def _named(self, one: Indicator | End, instance: Instance | None) -> tuple[str, str | None, str, str, str, float]:
        return *self._ids.named(one.chat, instance, one.instance_id), one.state, one.since_s


def _is_everything(request: web.Request, caller: AdminCaller) -> bool:
    return caller.is_operator and not request.query.get("account")


def _told_trouble(one: Trouble, instance: Instance, caller: AdminCaller) -> ToldTrouble:
    return ToldTrouble(
        one.account_id,
        instance.name,
        one.instance_id,
        told_target(instance.target, to_operator=caller.is_operator),
        reason=reasons.of_outcome(one.outcome),
        failed=one.failed,
        since=one.since_s,
        last=one.last_s,
        ok=one.ok_s,
        open=one.is_open,
    )
