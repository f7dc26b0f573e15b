"""`GET /admin/troubles`: what needs a person now: which upstreams fail and for whom, and what is late."""

import time

from aiohttp import web

from gateway.api.admin import reasons
from gateway.api.admin.accounts import chosen_accounts
from gateway.api.admin.chat_answers import Trouble as ToldTrouble
from gateway.api.admin.chat_answers import Troubles
from gateway.api.admin.gate import AdminCaller
from gateway.api.instances import told_target
from gateway.presence.model import Instance
from gateway.process import envelope
from gateway.store.problems import problems
from gateway.store.troubles import Trouble
from gateway.wiring import Services

_MOST = 50


class TroubleRoutes:
    """What fails, for the operator; an account sees what fails for itself."""

    def __init__(self, services: Services) -> None:
        """Read from the services's store."""
        self._services = services

    async def troubles(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer the instances whose calls failed lately, those that failed last first, and how much is owed."""
        accounts = {account.id for account in await chosen_accounts(self._services, request, caller)}
        failing = [one for one in await self._services.troubles.all() if one.account_id in accounts]
        failing.sort(key=lambda one: one.last_s, reverse=True)
        named = [(one, await self._services.directory.find_by_id(one.instance_id)) for one in failing[:_MOST]]
        listed = [_told(one, instance, caller) for one, instance in named if instance]
        return envelope.success(Troubles(*await self._owed(request, caller, accounts), listed))

    async def _owed(
        self, request: web.Request, caller: AdminCaller, accounts: set[str]
    ) -> tuple[int, float, list[str]]:
        """Say what is owed, how late, and what is wrong: of everything to the operator, else of some accounts."""
        if not caller.is_operator or request.query.get("account"):
            chats_ids = await self._services.directory.chats_ids(accounts)
            owed, oldest_s = await self._services.showing.owed(chats_ids)
            now_s = time.time()
            # A pause that failed is owed again in the future: its own time stands with what shows.
            overdue_s = [one.overdue_s(now_s) for one in await self._services.showing.of(chats_ids)]
            return owed, round(max([oldest_s, *overdue_s]), 3), []
        health, present = await self._services.health.look(), await self._services.processes.present()
        wrong = list(problems(health, {process.role for process in present}))
        return health.backlog.owed, round(health.backlog.oldest_overdue_s, 3), wrong


def _told(one: Trouble, instance: Instance, caller: AdminCaller) -> ToldTrouble:
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
