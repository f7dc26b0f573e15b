"""Where an application keeps the sandbox's parts."""

from aiohttp import web

from gateway.sandbox.faults import Faults
from gateway.sandbox.phone import Phone
from gateway.sandbox.webhooks import Webhooks

PHONE = web.AppKey("phone", Phone)
FAULTS = web.AppKey("faults", Faults)
WEBHOOKS = web.AppKey("webhooks", Webhooks)
