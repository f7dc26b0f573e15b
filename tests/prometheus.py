"""A real Prometheus on loopback, with our rules at a pace that a test can wait for."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from rig import LOOPBACK, ROOT, wait_for

from gateway.commands.dev.ports import free_port

RULES = ROOT / "deploy/prometheus/rules.yml"
WINDOW = "8s"
"""What every window of the rules becomes in a test."""


def binary(name: str) -> str:
    """Where Debian's package `prometheus` put a program."""
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"CI needs {name}: apt-get install --no-install-recommends prometheus"
        pytest.skip(f"{name} is not installed (apt-get install --no-install-recommends prometheus)")
    return found


def hastened(rules: str) -> str:
    """The same rules with every `for:` a second and every window a short one; no threshold is touched."""
    parsed = yaml.safe_load(rules)
    for group in parsed["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
            rule["expr"] = re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", rule["expr"])
    return yaml.safe_dump(parsed)


@dataclass(frozen=True)
class Prometheus:
    """Asks it."""

    url: str

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        told = await self._get("/api/v1/alerts")
        return {alert["labels"]["alertname"] for alert in told["alerts"] if alert["state"] == "firing"}

    async def up(self) -> dict[str, bool]:
        """Whether each job's last scrape worked."""
        told = await self._get("/api/v1/targets")
        return {target["labels"]["job"]: target["health"] == "up" for target in told["activeTargets"]}

    async def over(self, expr: str, start_s: float, end_s: float, step_s: float = 1.0) -> list[dict[str, Any]]:
        """The series of an expression between two instants."""
        query = {"query": expr, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        told = await self._get("/api/v1/query_range", query)
        series = told["result"]
        assert isinstance(series, list)
        return series

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, params=query) as response:
            told = await response.json()
        assert told["status"] == "success", (path, query, told)
        data = told["data"]
        assert isinstance(data, dict)
        return data


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, str], *, rules: str) -> Iterator[Prometheus]:
    """Scrape the targets, by job, every other second inside the block."""
    program = binary("prometheus")
    folder.mkdir(exist_ok=True)
    (folder / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": f"presence-{job}", "static_configs": [{"targets": [target]}]}
            for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(f"http://{LOOPBACK}:{port}/-/ready", process)
        yield Prometheus(f"http://{LOOPBACK}:{port}")
    finally:
        process.terminate()
        process.wait(20)
