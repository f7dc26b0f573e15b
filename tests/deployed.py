"""What is under deploy/, parsed."""

from collections.abc import Iterator
from typing import Any

import yaml
from rig import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def manifests(kind: str | None = None) -> Iterator[dict[str, Any]]:
    """Every manifest under deploy/kubernetes, or every one of a kind."""
    for file in MANIFESTS:
        for manifest in yaml.safe_load_all(file.read_text()):
            if kind in {None, manifest["kind"]}:
                yield manifest


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's template by its owner's name."""
    for kind in ("Deployment", "StatefulSet"):
        for manifest in manifests(kind):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]
