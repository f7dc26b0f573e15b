"""`docs/metrics.md` and the registry name the same metrics, and panels and rules name no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from panels import queries
from prometheus_client.metrics import MetricWrapperBase

from gateway.telemetry import metrics

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "deploy/prometheus/rules.yml").read_text()
PAGE = (ROOT / "docs/metrics.md").read_text()

_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
_NAME = re.compile(r"\b(?:presence|process)_[a-z0-9_]+")


def registered() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for made in vars(metrics).values():
        if isinstance(made, MetricWrapperBase):
            kind = str(made._type)
            yield made._name + ("_total" if kind == "counter" else ""), kind, tuple(made._labelnames)


def samples() -> set[str]:
    """Every name that a sample of a scrape may have."""
    return {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples} | {
        name + suffix for name, kind, _ in registered() for suffix in _SUFFIXES[kind]
    }


_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]


def test_the_page_lists_every_metric_with_its_type_and_labels() -> None:
    page = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in _ROW.findall(PAGE)]
    assert sorted(page) == sorted(registered())


def test_the_page_names_the_librarys_own_metrics() -> None:
    others = {name for name in samples() if not name.startswith("presence_")}
    assert {name for name in others if f"`{name}`" not in PAGE} == set()


def test_every_metric_has_the_prefix_and_none_says_when_it_was_created() -> None:
    assert {name for name, _, _ in registered() if not name.startswith("presence_")} == set()
    assert {name for name in samples() if name.endswith("_created")} == set()


def test_every_metric_that_status_adds_up_exists() -> None:
    named = set(re.findall(r'"((?:presence|process)_[a-z0-9_]+)"', (ROOT / "gateway/commands/status.py").read_text()))
    assert {"presence_pauses_total", "process_cpu_seconds_total"} < named <= samples()


@pytest.mark.parametrize("where", ["rules", "dashboard"])
def test_every_metric_named_in_a_rule_or_a_panel_exists(where: str) -> None:
    exprs = [rule["expr"] for rule in rules()] if where == "rules" else [query.expr for query in queries()]
    named = {name for expr in exprs for name in _NAME.findall(expr)}
    assert named
    assert named - samples() == set()


def test_every_metric_has_a_panel_or_an_alert() -> None:
    exprs = " ".join([query.expr for query in queries()] + [rule["expr"] for rule in rules()])
    assert [name for name, _, _ in registered() if name not in exprs] == []


def test_every_series_that_a_panel_or_an_alert_takes_from_a_recording_rule_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    exprs = [rule["expr"] for rule in rules()] + [query.expr for query in queries()]
    assert {name for expr in exprs for name in re.findall(r"presence:[\w:]+", expr)} <= recorded


def test_the_dashboard_has_the_rows_that_an_operator_asks_for() -> None:
    rows = list(dict.fromkeys(query.row for query in queries()))
    assert rows == ["Are we keeping the promise?", "Requests", "Upstreams", "Queue", "Redis", "Processes"]


def test_every_alert_has_its_section_in_the_run_book_and_the_run_book_has_no_other() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    book = (ROOT / "docs/operations.md").read_text()
    assert sorted(re.findall(r"^### (Presence\w+)$", book, re.MULTILINE)) == sorted(rule["alert"] for rule in alerts)
    for rule in yaml.safe_load(RULES)["groups"]:
        for alert in rule["rules"]:
            if "alert" in alert:
                assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
                assert alert["labels"]["severity"] in {"critical", "warning"}
