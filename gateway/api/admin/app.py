"""All routes of the operator's API, on one screen."""

from aiohttp import web

from gateway.api.admin.accounts import AccountRoutes
from gateway.api.admin.chats import ChatRoutes
from gateway.api.admin.gate import AdminGate
from gateway.api.admin.instances import InstanceRoutes
from gateway.api.admin.overview import OverviewRoutes
from gateway.api.admin.tokens import TokenRoutes
from gateway.api.admin.upstreams import list_upstreams
from gateway.api.middlewares import observe
from gateway.api.openapi import admin
from gateway.api.viewer.routes import add_reference
from gateway.tenants.failed_keys import FailedKeyLimiter
from gateway.wiring import Services

_GUESSES_PER_MINUTE = 30
"""More wrong keys than an operator mistypes; a key of `keys generate` would take ages at any pace."""


def create_admin(services: Services, *, guesses_per_minute: int = _GUESSES_PER_MINUTE) -> web.Application:
    """Build what is mounted at `/admin`. Every route but the reference is guarded by the gate."""
    gate = AdminGate(services, FailedKeyLimiter(services.redis, per_minute=guesses_per_minute))
    accounts, tokens = AccountRoutes(services), TokenRoutes(services)
    instances, overview = InstanceRoutes(services), OverviewRoutes(services)
    chats = ChatRoutes(services)

    app = web.Application(middlewares=[observe])
    route = app.router
    route.add_get("/session", gate.for_caller(accounts.session), allow_head=False)
    route.add_get("/accounts", gate.for_caller(accounts.list_accounts), allow_head=False)
    route.add_post("/accounts", gate.for_operator(accounts.create))
    route.add_patch("/accounts/{account}", gate.for_account(accounts.change, operator_only=True))
    route.add_delete("/accounts/{account}", gate.for_account(accounts.delete, operator_only=True))
    route.add_post("/accounts/{account}/suspend", gate.for_account(accounts.suspend, operator_only=True))
    route.add_post("/accounts/{account}/resume", gate.for_account(accounts.resume, operator_only=True))
    route.add_get("/accounts/{account}/tokens", gate.for_account(tokens.list_tokens), allow_head=False)
    route.add_post("/accounts/{account}/tokens", gate.for_account(tokens.issue))
    route.add_post("/tokens/{token}/rotate", gate.for_token(tokens.rotate))
    route.add_delete("/tokens/{token}", gate.for_token(tokens.revoke))
    route.add_get("/accounts/{account}/instances", gate.for_account(instances.list_instances), allow_head=False)
    route.add_post("/accounts/{account}/instances", gate.for_account(instances.create, limit_class="creation"))
    route.add_patch("/instances/{instance}", gate.for_instance(instances.move, operator_only=True))
    route.add_delete("/instances/{instance}", gate.for_instance(instances.delete))
    route.add_post("/instances/{instance}/token", gate.for_instance(instances.rotate_token))
    route.add_post("/instances/{instance}/doctor", gate.for_instance(chats.doctor))
    route.add_post("/instances/{instance}/chats/{chat}/number", gate.for_instance(chats.number))
    route.add_post("/instances/{instance}/chats/{chat}/pause", gate.for_instance(chats.pause))
    route.add_post("/chats/find", gate.for_caller(chats.find))
    route.add_get("/history", gate.for_caller(chats.history), allow_head=False)
    route.add_get("/troubles", gate.for_caller(overview.troubles), allow_head=False)
    route.add_get("/upstreams", gate.for_caller(list_upstreams), allow_head=False)
    route.add_get("/indicators", gate.for_caller(overview.indicators), allow_head=False)
    route.add_get("/usage", gate.for_caller(overview.usage), allow_head=False)
    route.add_get("/audit", gate.for_caller(overview.audit), allow_head=False)
    route.add_post("/keys/rotate", gate.for_operator(overview.rotate_keys))
    add_reference(app, admin.describe)
    return app
