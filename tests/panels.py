"""The dashboard's panels as data: what each is called, and what it asks of Prometheus."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rig import ROOT

DASHBOARD = ROOT / "deploy/grafana/presence-gateway.json"


@dataclass(frozen=True)
class Query:
    """One line of a panel."""

    row: str
    panel: str
    unit: str
    legend: str
    expr: str

    def at(self, *, interval: str, span: str) -> str:
        """The expression with Grafana's variables filled in."""
        return self.expr.replace("$__rate_interval", interval).replace("$__range", span)

    def label(self, labels: dict[str, str]) -> str:
        """The legend of one series."""
        return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), self.legend)


def queries() -> Iterator[Query]:
    """Every query of the dashboard, in its order."""
    row = ""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        for target in panel.get("targets", []):
            unit = panel["fieldConfig"]["defaults"]["unit"]
            yield Query(row, panel["title"], unit, target["legendFormat"], target["expr"])
