"""The manifests as `kubectl` puts each overlay together: what a cluster would accept, and what fits our settings."""

import base64
import tomllib
from typing import Any

import kubernetes_validate
import pytest
from deployed import KUBERNETES, OVERLAYS, kustomized, manifests, pods
from rig import ROOT

from gateway import settings

RELEASES = ("1.31", "1.37")
"""The oldest and the newest that we look at."""


def told(kind: str, name: str, overlay: str) -> dict[str, str]:
    """A generated ConfigMap or Secret, read, by what its name begins with."""
    (found,) = (found for found in manifests(kind, overlay) if found["metadata"]["name"].rpartition("-")[0] == name)
    data: dict[str, str] = found["data"]
    return data if kind == "ConfigMap" else {key: base64.b64decode(text).decode() for key, text in data.items()}


def containers(overlay: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, container) for name, pod in pods(overlay) for container in pod["spec"]["containers"]]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_would_accept_every_manifest(overlay: str, release: str) -> None:
    for manifest in manifests(overlay=overlay):
        kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_monitor_finds_the_metrics_of_every_pod_of_ours(overlay: str) -> None:
    (monitor,) = (found for found in kustomized(overlay, monitored=True) if found["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selected = [
        endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        for _, pod in pods(overlay)
        if monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    ]
    assert selected == [True, True]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_runs_without_rights_that_it_does_not_need(overlay: str) -> None:
    """As the Pod Security Standard `restricted` has it, and a read-only root besides."""
    for name, pod in pods(overlay):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
    for name, container in containers(overlay):
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True, name
        assert rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert {"memory"} <= set(container["resources"]["limits"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_its_pods_and_every_autoscaler_its_deployment(overlay: str) -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods(overlay)]
    selectors = [manifest["spec"]["selector"] for manifest in manifests("Service", overlay)]
    selectors += [manifest["spec"]["selector"]["matchLabels"] for manifest in manifests("PodDisruptionBudget", overlay)]
    for selector in selectors:
        assert sum(selector.items() <= of_pod.items() for of_pod in labels) == 1, selector
    deployments = {manifest["metadata"]["name"] for manifest in manifests("Deployment", overlay)}
    scalers = {scaler["spec"]["scaleTargetRef"]["name"] for scaler in manifests("HorizontalPodAutoscaler", overlay)}
    budgets = {budget["metadata"]["name"] for budget in manifests("PodDisruptionBudget", overlay)}
    assert scalers == budgets == deployments == {"presence-gateway", "presence-worker"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_a_pod_reads_is_made_from_an_operators_file_and_no_other_is(overlay: str) -> None:
    given = {(secret["metadata"]["name"], key) for secret in manifests("Secret", overlay) for key in secret["data"]}
    read = set()
    for _, container in containers(overlay):
        of_env = [variable["valueFrom"]["secretKeyRef"] for variable in container["env"] if "valueFrom" in variable]
        read |= {(found["name"], found["key"]) for found in of_env}
    for _, pod in pods(overlay):
        for volume in pod["spec"].get("volumes", ()):
            read |= {(volume["secret"]["secretName"], item["key"]) for item in volume["secret"]["items"]}
    assert read == given


def test_another_secret_or_setting_makes_new_pods() -> None:
    """By the hash in a generated name: a rotated key would else wait in a pod that nobody replaces."""

    def references(url: str) -> set[str]:
        secrets = {"secrets.toml": "", "redis-url": url, "password": ""}
        found = (manifest for manifest in kustomized(OVERLAYS[0], secrets) if manifest["kind"] == "Deployment")
        of_env = (deployment["spec"]["template"]["spec"]["containers"][0]["env"][0] for deployment in found)
        return {variable["valueFrom"]["secretKeyRef"]["name"] for variable in of_env}

    one, other = references("redis://one"), references("redis://other")
    assert (len(one), len(other), len(one | other)) == (1, 1, 2)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_redis_url_is_handed_on_as_the_operator_wrote_it(overlay: str) -> None:
    """Whatever its scheme, and however many addresses it names: no manifest takes it apart."""
    assert told("Secret", "presence", overlay)["redis-url"] == "redis://:password@valkey:6379/0"
    for name, container in containers(overlay):
        if name != "valkey":
            assert [variable["name"] for variable in container["env"]] == ["PRESENCE_REDIS__URL"]


def test_without_the_operators_files_nothing_is_put_together() -> None:
    with pytest.raises(AssertionError, match=r"secrets\.toml"):
        kustomized(OVERLAYS[0], {})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ours_are_the_image_of_this_version(overlay: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {container["image"] for name, container in containers(overlay) if name != "valkey"}
    assert images == {f"registry.example/presence-gateway:{version}"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_named_port_exists(overlay: str) -> None:
    for name, container in containers(overlay):
        ports = {port["name"] for port in container["ports"]}
        probes = [value for key, value in container.items() if key.endswith("Probe")]
        assert probes, name
        for probe in probes:
            assert (probe.get("httpGet") or probe["tcpSocket"])["port"] in ports, name
    for service in manifests("Service", overlay):
        (of_pod,) = (
            pod for _, pod in pods(overlay) if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        )
        named = {port["name"] for port in of_pod["spec"]["containers"][0]["ports"]}
        assert {port.get("targetPort", port["name"]) for port in service["spec"]["ports"]} <= named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_end_leaves_time_to_drain(overlay: str) -> None:
    grace = {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in pods(overlay)}
    defaults = settings.Settings()
    delay_s = float(told("ConfigMap", "presence", overlay)["PRESENCE_HTTP__DRAIN_DELAY_S"])
    # Callers, then what Redis has not taken, may each take as long as the timeout.
    assert delay_s > 0
    assert grace["presence-gateway"] > delay_s + 2 * defaults.http.drain_timeout_s + 1
    assert grace["presence-worker"] > defaults.worker.drain_timeout_s + 1


def test_the_autoscaler_of_workers_looks_at_lateness_too() -> None:
    (scaler,) = (found for found in manifests("HorizontalPodAutoscaler") if "worker" in found["metadata"]["name"])
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource", "External"]
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    assert "presence:pause_lateness_seconds:p99_5m" in rules


def test_every_file_is_part_of_an_overlay() -> None:
    named = "".join(file.read_text() for file in KUBERNETES.glob("*/kustomization.yaml"))
    assert [
        file for file in KUBERNETES.glob("*/*.yaml") if file.stem != "kustomization" and file.name not in named
    ] == []
