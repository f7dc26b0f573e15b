"""`/admin/upstreams`: every kind of upstream that an instance may live on, and what each can do."""

from dataclasses import asdict

from aiohttp import web

from gateway.api.admin.answers import Capabilities as ToldCapabilities
from gateway.api.admin.answers import Upstream, Upstreams
from gateway.api.admin.gate import AdminCaller
from gateway.presence.model import ChatKind
from gateway.process import envelope
from gateway.upstreams.base import Capabilities
from gateway.upstreams.registry import ADAPTERS


async def list_upstreams(request: web.Request, caller: AdminCaller) -> web.Response:  # noqa: ARG001
    """List the kinds by their names for people, the operator's and a tenant's alike."""
    listed = [Upstream(kind, adapter.name, _told(adapter.capabilities)) for kind, adapter in ADAPTERS.items()]
    return envelope.success(Upstreams(listed))


def _told(can: Capabilities) -> ToldCapabilities:
    return ToldCapabilities(**asdict(can) | {"chats": [kind for kind in ChatKind if kind in can.chats]})
