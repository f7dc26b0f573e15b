"""What was asked for, turned into a `Site`: ports chosen, keys made, settings checked; nothing is started yet."""

import os
from dataclasses import dataclass
from pathlib import Path

from gateway import settings
from gateway.commands.dev.ports import choose, url_of
from gateway.commands.dev.site import LOOPBACK, Site
from gateway.process import keyfile
from gateway.process.embedded import Valkey

_LEFTOVERS_S = 5.0
"""How long what a killed runner left may still hold a port."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The command line; None leaves it to the settings."""

    data: Path
    port: int | None = None
    admin_port: int | None = None
    sandbox_port: int = 0
    ready_file: Path | None = None


def survey(plan: Plan, *, was_killed: bool) -> Site:
    """Settle where everything will be.

    Raises:
        SettingsError: a setting of the user's is wrong.
        CommandFailed: a port is in use.
        EmbeddedError: the embedded Valkey has no place to listen.
    """
    environ = dict(os.environ)
    if not environ.get("PRESENCE_SECRETS__FILE"):
        keys = plan.data.resolve() / "secrets.toml"
        keyfile.ensure(keys)
        environ["PRESENCE_SECRETS__FILE"] = str(keys)
    asked = settings.load(environ=environ)
    wait_s = _LEFTOVERS_S if was_killed else 0.0
    port = asked.http.port if plan.port is None else plan.port
    admin_port = asked.admin.port if plan.admin_port is None else plan.admin_port
    sandbox_port = choose(LOOPBACK, plan.sandbox_port, option="--sandbox-port", wait_s=wait_s)
    environ |= {
        "PRESENCE_HTTP__PORT": str(choose(asked.http.host, port, option="--port", wait_s=wait_s)),
        "PRESENCE_ADMIN__PORT": str(choose(asked.admin.host, admin_port, option="--admin-port", wait_s=wait_s)),
        # Any free one: nobody but us, and the banner, needs to know it.
        "PRESENCE_WORKER__PORT": str(choose(asked.worker.host, 0, option="PRESENCE_WORKER__HOST")),
        "PRESENCE_REDIS__URL": asked.redis.url or Valkey.of(plan.data).url,
    }
    if not asked.upstream.kind:
        environ |= {"PRESENCE_UPSTREAM__KIND": "sandbox", "PRESENCE_UPSTREAM__URL": url_of(LOOPBACK, sandbox_port)}
    return Site(settings.load(environ=environ), environ, sandbox_port, embeds_redis=not asked.redis.url)
