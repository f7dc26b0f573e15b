"""What chats were told in the last minutes, and what a person does about one: see its number, pause it, ask why."""

import time
from collections.abc import Callable, Iterable

from aiohttp import web

from gateway.api import bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin import reasons
from gateway.api.admin.accounts import chosen_accounts
from gateway.api.admin.chat_answers import Chat as ToldChat
from gateway.api.admin.chat_answers import Diagnosis, FoundChat, History, Number, PausedChat, Showing, Told
from gateway.api.admin.chat_names import ChatIds
from gateway.api.admin.gate import AdminCaller
from gateway.api.message_end import count
from gateway.presence.errors import ChatNotFound, GatewayError
from gateway.presence.model import Chat, Instance, State
from gateway.presence.shares import Slots
from gateway.process import envelope
from gateway.store.ends import End
from gateway.store.showing import Indicator
from gateway.telemetry.metrics import COMMANDS
from gateway.upstreams.doctor import examine
from gateway.wiring import Services

_MOST_CHATS = 100
_EXAMINED_AT_ONCE = 16
_LATE_S = 0.5
"""Below this a pause is being sent, not late."""

_Place = tuple[str, str]
"""Under which id an instance keeps a chat, and the chat's JID."""


class ChatRoutes:
    """Chats, for the operator and for the account whose they are; their numbers only where they are asked for."""

    def __init__(self, services: Services) -> None:
        """Read from the services's store."""
        self._services = services
        self._ids = ChatIds(services.hasher)
        self._body_timeout_s = services.settings.http.body_timeout_s
        self._examinations = Slots(_EXAMINED_AT_ONCE)

    async def history(self, request: web.Request, caller: AdminCaller) -> web.Response:
        """Answer what chats show and were told, those that are late first, then what is newest."""
        accounts = await chosen_accounts(self._services, request, caller)
        chats_ids = await self._services.directory.chats_ids(account.id for account in accounts)
        shown, told = await self._services.showing.of(chats_ids), await self._services.ends.told(chats_ids)
        places = _places(shown, told, self._wanted(request))
        some = places[:_MOST_CHATS]
        instances = {one: await self._services.directory.find_by_id(one) for one in {one for one, _ in some}}
        late_why = await self._late_why() if any(_is_late(one) for one in shown) else _no_reason
        by_place = _by_place(told)
        showing = {(one.instance_id, one.chat): one for one in shown}
        listed = [
            ToldChat(
                *self._ids.named(jid, instances[chats_id], chats_id),
                instance_id=instance.id if (instance := instances[chats_id]) else None,
                showing=_told_showing(showing.get((chats_id, jid)), instances[chats_id], late_why),
                told=[_told_end(one) for one in by_place.get((chats_id, jid), [])],
            )
            for chats_id, jid in some
        ]
        more = len(places) - len(some)
        return envelope.success(History(self._services.ends.history_s, len(shown), listed, more))

    async def find(self, request: web.Request, caller: AdminCaller) -> web.Response:  # noqa: ARG002
        """Answer a number's id: it goes in a body, since addresses are logged on many a way."""
        chat = admin_bodies.number(await bodies.read(request, self._body_timeout_s))
        return envelope.success(FoundChat(self._ids.of(chat.jid)))

    async def number(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:
        """Answer a chat's number, once it is written down who asked."""
        jid = await self._jid(request.match_info["chat"], instance)
        await self._note(caller, "chat.number", instance, jid)
        return envelope.success(Number(jid))

    async def pause(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:
        """End what a chat shows, as a caller's own pause does."""
        jid = await self._jid(request.match_info["chat"], instance)
        await self._note(caller, "chat.pause", instance, jid)
        try:
            shown = await self._services.presence.show(instance, Chat(jid), State.PAUSED, 0)
        except GatewayError as error:
            COMMANDS.labels(State.PAUSED, type(error).__name__).inc()
            raise
        COMMANDS.labels(State.PAUSED, shown.outcome).inc()
        count(shown)
        return envelope.success(PausedChat(State.PAUSED))

    async def doctor(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:  # noqa: ARG002
        """Follow the way of a presence to its upstream, and say why one did not show; of one chat where it is named."""
        chat_id = admin_bodies.chat(await bodies.read(request, self._body_timeout_s))
        jid = await self._jid(chat_id, instance) if chat_id else None
        async with self._examinations.slot(instance.account_id):
            findings = await examine(self._services.redis, self._services.upstreams, instance.target)
        told = await self._services.ends.told([instance.chats_id]) if jid else []
        last = next((one for one in told if one.chat == jid), None)
        return envelope.success(Diagnosis(reasons.answer(findings, last), findings))

    def _wanted(self, request: web.Request) -> Callable[[str], bool]:
        """Read `?chat=`: every chat where none is named."""
        chat_id = request.query.get("chat", "")
        return lambda jid: not chat_id or self._ids.of(jid) == chat_id

    async def _jid(self, chat_id: str, instance: Instance) -> str:
        """Find the chat of that id among those that the instance shows or was told of lately."""
        shown = await self._services.showing.of([instance.chats_id])
        told = await self._services.ends.told([instance.chats_id])
        for jid in {one.chat for one in shown} | {one.chat for one in told}:
            if self._ids.of(jid) == chat_id:
                return jid
        raise ChatNotFound

    async def _note(self, caller: AdminCaller, action: str, instance: Instance, jid: str) -> None:
        detail = f"chat {self._ids.of(jid)} of {instance.name}"
        await self._services.audit.note(caller.actor, action, instance.id, instance.account_id, detail)

    async def _late_why(self) -> Callable[[str], str]:
        """Look what fails, and whether a worker runs; returns what says it of one instance."""
        failing = {one.instance_id: one.outcome for one in await self._services.troubles.all()}
        has_worker = any(one.role == "worker" for one in await self._services.processes.present())
        return lambda instance_id: reasons.of_late(failing.get(instance_id), has_worker=has_worker)


def _no_reason(_: str) -> str:
    return ""


def _is_late(one: Indicator) -> bool:
    return one.overdue_s(time.time()) >= _LATE_S


def _places(shown: Iterable[Indicator], told: Iterable[End], wanted: Callable[[str], bool]) -> list[_Place]:
    """Put chats in order: late ones, those that show, then those that were told something last."""
    late_first = sorted(shown, key=lambda one: (-round(one.overdue_s(time.time())), -one.since_s))
    places = [(one.instance_id, one.chat) for one in late_first] + [(one.instance_id, one.chat) for one in told]
    return [place for place in dict.fromkeys(places) if wanted(place[1])]


def _by_place(told: Iterable[End]) -> dict[_Place, list[End]]:
    found: dict[_Place, list[End]] = {}
    for one in told:
        found.setdefault((one.instance_id, one.chat), []).append(one)
    return found


def _told_showing(one: Indicator | None, instance: Instance | None, late_why: Callable[[str], str]) -> Showing | None:
    if one is None:
        return None
    why = late_why(instance.id) if instance and _is_late(one) else ""
    return Showing(one.state, one.since_s, one.ends_s, round(one.overdue_s(time.time()), 3), why)


def _told_end(one: End) -> Told:
    return Told(
        one.state,
        one.since_s,
        ended=one.ended_s,
        by=one.by,
        asked=one.asked_s,
        sent=one.sent_s,
        tries=one.tries,
        sure=one.is_sure,
        reason="" if one.is_end else reasons.of_outcome(one.outcome),
    )
