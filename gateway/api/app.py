"""All routes and middlewares of the public API, on one screen."""

from aiohttp import web

from gateway import ops
from gateway.api.guards import Gate
from gateway.api.middlewares import observe
from gateway.api.presence import PresenceRoutes
from gateway.wiring import House


def create_app(house: House) -> web.Application:
    """Build the public API. Every route but `/health` is guarded by the gate."""
    http = house.settings.http
    gate = Gate(
        house.hasher,
        house.admission,
        house.directory,
        trusted_proxies=http.trusted_proxies,
        failures_per_minute=house.settings.limits.failures_per_minute,
    )
    presence = PresenceRoutes(house.presence, body_timeout_s=http.body_timeout_s)

    app = web.Application(middlewares=[observe], client_max_size=http.max_body_bytes)
    app.router.add_get("/health", ops.health)
    app.router.add_post("/api/chat/presence/{instance:[^/]+}", gate.for_instance(presence.send))
    return app
