"""Who reaches whom by the network policies of deploy/kubernetes, as a cluster would apply them."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from deployed import manifests

VALKEY = {"app.kubernetes.io/name": "valkey"}
GATEWAY = {"app.kubernetes.io/name": "presence-gateway", "app.kubernetes.io/component": "gateway"}
STRANGER = {"app.kubernetes.io/name": "grafana"}


def rules_of(pod: dict[str, str], direction: str) -> list[dict[str, Any]] | None:
    """The rules that the policies have for a pod, None where anything goes, as it does where no policy selects it."""
    selecting = [
        policy["spec"]
        for policy in manifests("NetworkPolicy")
        if policy["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
        and direction.capitalize() in policy["spec"]["policyTypes"]
    ]
    return [rule for spec in selecting for rule in spec.get(direction, ())] if selecting else None


def reaches_pod(one: dict[str, str], other: dict[str, str], port: int) -> bool:
    """Whether a pod may connect to another of its namespace."""

    def allowed(pod: dict[str, str], direction: str, peers: str, peer: dict[str, str]) -> bool:
        rules = rules_of(pod, direction)
        return rules is None or any(
            port in [open_["port"] for open_ in rule["ports"]]
            and any(
                "namespaceSelector" not in found
                and found.get("podSelector", {"matchLabels": {"": ""}})["matchLabels"].items() <= peer.items()
                for found in rule[peers]
            )
            for rule in rules
        )

    return allowed(one, "egress", "to", other) and allowed(other, "ingress", "from", one)


def reaches_address(pod: dict[str, str], address: str, port: int) -> bool:
    """Whether a pod may connect to an address that is no pod of its namespace."""
    rules = rules_of(pod, "egress")
    return rules is None or any(
        port in [open_["port"] for open_ in rule["ports"]]
        and ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(hole) for hole in block["except"])
        for rule in rules
        for block in [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    )


def test_only_gateways_and_workers_reach_valkey_which_reaches_nothing() -> None:
    worker = {**GATEWAY, "app.kubernetes.io/component": "worker"}
    assert [reaches_pod(pod, VALKEY, 6379) for pod in (GATEWAY, worker, STRANGER)] == [True, True, False]
    assert not reaches_pod(VALKEY, GATEWAY, 8080)
    assert not reaches_address(VALKEY, "93.184.216.34", 443)


@pytest.mark.parametrize(
    "address", ["10.96.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.1", "192.168.1.1"]
)
def test_no_pod_reaches_a_private_address_that_nobody_named(address: str) -> None:
    assert reaches_address(GATEWAY, "93.184.216.34", 443)
    assert not reaches_address(GATEWAY, address, 443)
