"""`GET /api/chat/presence/{instance}`: what the instance's chats show right now."""

from aiohttp import web

from gateway.api.answers import Indicator, Indicators, Total
from gateway.api.guards import Caller
from gateway.presence.model import Instance
from gateway.process import envelope
from gateway.store.showing import RedisShowing


class IndicatorRoutes:
    """Lists indicators for the tenant they belong to."""

    def __init__(self, showing: RedisShowing) -> None:
        """Read from `showing`."""
        self._showing = showing

    async def showing(self, request: web.Request, caller: Caller, instance: Instance) -> web.Response:  # noqa: ARG002
        """Answer the indicators, the newest first; instants are Unix seconds, `ends` is null where there is no end."""
        shown = await self._showing.of([instance.chats_id])
        count = len(shown)
        return envelope.success(
            Indicators(
                f"{count} Indicator{'' if count == 1 else 's'} showing",
                [Indicator(one.chat, one.state, one.since_s, one.ends_s) for one in shown],
                Total(count),
            )
        )
