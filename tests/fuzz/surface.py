"""What is attacked: every described operation of both ports, and what of the installation a request may name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.api.openapi import admin, public

Port = Literal["public", "admin"]

PLAIN = {200}
"""What a page that is no API may answer with."""

PAGES: dict[Port, tuple[str, ...]] = {
    "public": ("/openapi.json", "/docs", "/docs/viewer.js", "/docs/swagger-ui.css"),
    "admin": (
        "/admin/openapi.json",
        "/admin/docs",
        "/livez",
        "/readyz",
        "/metrics",
        "/console/",
        "/console/console.js",
    ),
}


@dataclass(frozen=True)
class Operation:
    """One method of one route: what it may answer, and the schema of its body."""

    port: Port
    method: str
    path: str
    statuses: frozenset[int]
    body: Mapping[str, Any] | None

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


def operations() -> list[Operation]:
    """Read the descriptions; a test elsewhere holds them against the routes."""
    described: dict[Port, dict[str, Any]] = {"public": public.describe(), "admin": admin.describe()}
    return [
        Operation(port, method.upper(), path, frozenset(map(int, told["responses"])), body_of(told))
        for port, document in described.items()
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if method != "parameters"
    ]


def body_of(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "requestBody" not in told:
        return None
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    assert isinstance(schema, dict)
    return schema


@dataclass(frozen=True)
class World:
    """The tenants that are attacked, and those in whose name."""

    account_token: str
    instance_token: str
    foreign_token: str
    revoked_token: str
    operators_key: str
    known: Mapping[str, Sequence[str]]
    """By the name of a path's parameter: what exists and may be changed, moved and deleted."""

    foreign: Mapping[str, Sequence[str]]
    missing: Mapping[str, str] = field(
        default_factory=lambda: {"account": "a000000000000", "token": "t000000000000", "instance": "i000000000000"}
    )

    def tokens(self, port: Port) -> list[str]:
        """Those that open something, the likeliest first."""
        mighty = self.operators_key if port == "admin" else self.account_token
        return [mighty, mighty, self.account_token, self.instance_token]

    def dead_tokens(self) -> list[str]:
        return [
            self.foreign_token,
            self.revoked_token,
            self.account_token[:-1] + "x",
            self.operators_key[:-1],
            "x" * 20,
        ]
