"""What an operator makes in an installation: by the API, since the command would take a hundred times as long."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

PLENTY = 100_000  # requests a minute: a limit that no test meets by accident


@dataclass(frozen=True)
class Tenant:
    """An account of the operator's making, with one instance."""

    account: str
    account_token: str
    instance: str
    instance_token: str


@dataclass(kw_only=True)
class Operated(ABC):
    """Something with an operator's port and key."""

    secrets: set[str] = field(default_factory=set)  # everything that no log may hold
    _account_ids: dict[str, str] = field(default_factory=dict)

    @property
    @abstractmethod
    def ready(self) -> dict[str, Any]:
        """Where the port is, and what opens it."""

    def create_account(self, *, per_minute: int | None = PLENTY) -> tuple[str, str]:
        """Make an account; its name and its first token."""
        name = f"account-{secrets.token_hex(4)}"
        made = self._ask("accounts", {"name": name, "per_minute": per_minute})
        self._account_ids[name] = str(made["account"]["id"])
        return name, self._secret(made["token"])

    def create_instance(self, account: str, *, name: str | None = None, **wanted: object) -> tuple[str, str]:
        """Make an instance, as the API is told what is wanted of it; its name and its token."""
        name = name or f"instance-{secrets.token_hex(4)}"
        made = self._ask(f"accounts/{self._account_ids[account]}/instances", {"name": name, **wanted})
        return name, self._secret(made["secret"])

    def create_tenant(
        self, *, per_minute: int | None = PLENTY, instance: str | None = None, **wanted: object
    ) -> Tenant:
        account, account_token = self.create_account(per_minute=per_minute)
        name, instance_token = self.create_instance(account, name=instance, **wanted)
        return Tenant(account, account_token, name, instance_token)

    def create_tenants(self, count: int) -> list[Tenant]:
        """Several instances of one new account."""
        account, account_token = self.create_account()
        made = [self.create_instance(account) for _ in range(count)]
        return [Tenant(account, account_token, name, token) for name, token in made]

    def issue_token(self, account: str) -> tuple[str, str]:
        """Issue one more account token, with a fresh quota; its id and itself."""
        issued = self._ask(f"accounts/{self._account_ids[account]}/tokens", {})
        return str(issued["token"]["id"]), self._secret(issued["secret"])

    def _ask(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask for something as the operator, and return what was made."""
        headers = {"Authorization": f"Bearer {self.ready['admin_key']}"}
        answer = requests.post(f"{self.ready['admin_url']}/admin/{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, (path, answer.status_code, answer.text)
        parsed = answer.json()
        assert isinstance(parsed, dict)
        return parsed

    def _secret(self, token: str) -> str:
        self.secrets.add(token)
        return token
