"""The ready file: for scripts, everything about a running installation; there only while it serves."""

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.commands.dev.demo import Demo
from gateway.commands.dev.site import Site
from gateway.process.child import Child
from gateway.process.keyfile import write_private


class ReadyFile:
    """Written when everything serves, and again whenever a process was started anew."""

    def __init__(self, path: Path | None, children: Mapping[str, Child]) -> None:
        """Write to `path`, or nowhere for None; `children` may still grow."""
        self._path = path
        self._children = children
        self._facts: dict[str, object] | None = None

    def publish(self, site: Site, demo: Demo) -> None:
        """Put it in place."""
        self._facts = {
            "url": site.url,
            "admin_url": site.admin_url,
            "worker_url": site.worker_url,
            "admin_key": site.settings.secrets.admin_key,
            "account_token": demo.account_token,
            "instance_token": demo.instance_token,
            "redis_url": site.settings.redis.url,
            "sandbox_url": site.sandbox_url,
            "env": site.joining,
        }
        self.refresh()

    def refresh(self) -> None:
        """Write the pids of the moment, where it is in place."""
        if self._path is None or self._facts is None:
            return
        redis = self._children.get("redis")
        pids = {
            "gateway": [self._children["gateway"].pid],
            "worker": [self._children["worker"].pid],
            "redis": redis.pid if redis else None,
        }
        write_private(self._path, json.dumps(self._facts | {"pids": pids}, indent=2) + "\n")

    def remove(self) -> None:
        """Take it away, also where a killed runner left it."""
        self._facts = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
