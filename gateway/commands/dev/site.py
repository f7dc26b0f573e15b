"""Where everything is on this machine, and the environment by which processes find it."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.commands.dev.ports import url_of
from gateway.settings import ENV_PREFIX, Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses of one run; `settings` are those of its processes."""

    settings: Settings
    environ: Mapping[str, str]
    sandbox_port: int
    embeds_redis: bool

    @property
    def url(self) -> str:
        """The API."""
        return url_of(self.settings.http.host, self.settings.http.port)

    @property
    def admin_url(self) -> str:
        """The gateway's operator's port."""
        return url_of(self.settings.admin.host, self.settings.admin.port)

    @property
    def worker_url(self) -> str:
        """The worker's operator's port."""
        return url_of(self.settings.worker.host, self.settings.worker.port)

    @property
    def sandbox_url(self) -> str:
        """The sandbox and its phone page."""
        return url_of(LOOPBACK, self.sandbox_port)

    @property
    def joining(self) -> dict[str, str]:
        """What further processes need in their environment to join this installation."""
        ours = {name: value for name, value in self.environ.items() if name.startswith(ENV_PREFIX)}
        return ours | {"PRESENCE_WORKER__PORT": "0"}
