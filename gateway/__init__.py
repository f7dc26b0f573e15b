"""The presence gateway: WhatsApp indicators that appear at once and always end on time."""

from importlib.metadata import version

SERVICE = "presence-gateway"
VERSION = version(SERVICE)
