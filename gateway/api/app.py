"""All routes and middlewares of the public API, on one screen."""

from aiohttp import web

from gateway.api.events import EventRoutes
from gateway.api.guards import Gate
from gateway.api.indicators import IndicatorRoutes
from gateway.api.instances import InstanceRoutes
from gateway.api.middlewares import observe
from gateway.api.openapi import public
from gateway.api.passthrough import PassThrough
from gateway.api.presence import PresenceRoutes
from gateway.api.viewer.routes import add_reference
from gateway.telemetry import probes
from gateway.wiring import Services


def create_app(services: Services) -> web.Application:
    """Build the public API. Every route but `/health` and the reference is guarded by the gate."""
    http = services.settings.http
    gate = Gate(
        services.hasher,
        services.admission,
        services.directory,
        trusted_proxies=http.trusted_proxies,
        failures_per_minute=services.settings.limits.failures_per_minute,
    )
    presence = PresenceRoutes(
        services.presence,
        body_timeout_s=http.body_timeout_s,
        hold_max_s=services.settings.presence.hold_max_s,
        max_in_flight=http.max_in_flight,
        max_in_flight_per_account=http.max_in_flight_per_account,
    )
    events = EventRoutes(services.presence, http)
    indicators, instances = IndicatorRoutes(services.showing), InstanceRoutes(services)

    app = web.Application(middlewares=[observe], client_max_size=http.max_body_bytes)
    app.router.add_get("/health", probes.health)
    app.router.add_post("/api/chat/presence/{instance:[^/]+}", gate.for_entry(presence.send))
    app.router.add_get("/api/chat/presence/{instance:[^/]+}", gate.for_instance(indicators.showing), allow_head=False)
    app.router.add_post("/api/events/presence/{instance:[^/]+}", gate.for_events(events.take))
    app.router.add_post("/api/instance/new", gate.for_account(instances.create, limit_class="creation"))
    app.router.add_get("/api/instance/list", gate.for_token(instances.list_instances), allow_head=False)
    app.router.add_delete("/api/instance/delete/{instance:[^/]+}", gate.for_instance_of_account(instances.delete))
    app.router.add_post("/api/instance/token/{instance:[^/]+}", gate.for_instance_of_account(instances.rotate_token))
    PassThrough(services).add_routes(app, gate)
    add_reference(app, public.describe)
    return app
