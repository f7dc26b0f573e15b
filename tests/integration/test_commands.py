"""The operator's commands, in process: tables for people, JSON for scripts, one sentence on failure."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from gateway.commands.cli import main
from gateway.process import keyfile
from gateway.store import keys


class Terminal:
    """A shell whose environment names an installation."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self._capsys.readouterr()
        return code, out, err

    def says(self, *words: str) -> str:
        code, out, err = self.run(*words)
        assert code == 0, err
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.says(*words, "--json"))

    def fails(self, *words: str) -> str:
        code, _, err = self.run(*words)
        assert code != 0
        return err


@pytest.fixture
def terminal(
    redis_url: str,
    everywhere_sync: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    keyfile.ensure(tmp_path / "secrets.toml")
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    monkeypatch.setenv("PRESENCE_SECRETS__FILE", str(tmp_path / "secrets.toml"))
    monkeypatch.chdir(tmp_path)
    return Terminal(capsys)


def test_an_account_from_its_making_to_its_end(terminal: Terminal) -> None:
    made = terminal.json("account", "create", "acme", "--per-minute", "50")
    assert made["token"].startswith("pga_")
    assert "acme" in terminal.says("account", "list")
    assert terminal.json("account", "limits", "acme", "--instances-quota", "5")["quota"] == 5
    assert terminal.json("account", "limits", "acme")["per_minute"] == 50
    assert terminal.json("account", "limits", "acme", "--reset")["per_minute"] is None
    assert terminal.json("account", "suspend", "acme")["status"] == "suspended"
    assert "suspended" in terminal.says("account", "list")
    assert terminal.json("account", "resume", made["id"])["status"] == "active"
    assert "nothing is deleted" in terminal.fails("account", "delete", "acme", "--confirm", "amce")
    assert terminal.says("account", "delete", "acme", "--confirm", "acme") == "Account acme is deleted.\n"
    assert terminal.json("account", "list") == {"accounts": []}
    assert "Account not found" in terminal.fails("account", "suspend", "acme")
    assert "All is well" in terminal.says("check")


def test_tokens_and_instances(terminal: Terminal) -> None:
    terminal.json("account", "create", "acme")
    made = terminal.json("instance", "create", "acme", "sales")
    issued = terminal.json("token", "issue", "acme", "--name", "crm")
    listed = terminal.json("token", "list", "acme")["tokens"]
    assert {(one["name"], one["kind"]) for one in listed} == {
        ("", "account"),
        ("sales", "instance"),
        ("crm", "account"),
    }
    rotated = terminal.json("token", "rotate", issued["id"], "--grace", "60")
    assert rotated["token"] != issued["token"]
    of_instance = next(one for one in listed if one["kind"] == "instance")
    assert terminal.json("token", "rotate", of_instance["id"])["token"].startswith("pgi_")
    assert terminal.json("token", "revoke", rotated["id"]) == {"id": rotated["id"], "revoked": True}
    assert "Token not found" in terminal.fails("token", "revoke", rotated["id"])
    assert "crm" in terminal.says("token", "list", "acme")
    assert terminal.json("instance", "delete", "acme", "sales", "--confirm", "sales")["id"] == made["id"]
    assert "Instance not found" in terminal.fails("instance", "delete", "acme", "sales", "--confirm", "sales")


def test_the_audit_log_tells_who_did_what_and_no_secret(terminal: Terminal) -> None:
    made = terminal.json("account", "create", "acme")
    terminal.json("account", "suspend", "acme")
    entries = terminal.json("audit")["entries"]
    assert [(one["actor"], one["action"]) for one in entries] == [("cli", "account.suspend"), ("cli", "account.create")]
    assert entries[0]["subject"] == made["id"]
    assert made["token"] not in json.dumps(entries)
    assert "account.suspend" in terminal.says("audit", "--count", "1")


def test_a_backup_goes_into_an_empty_redis_or_is_forced(
    terminal: Terminal, tmp_path: Path, everywhere_sync: Redis
) -> None:
    made = terminal.json("account", "create", "acme")
    file = tmp_path / "tenants.ndjson"
    told = terminal.json("backup", str(file))
    assert told["records"] > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert made["token"] not in file.read_text()
    assert "--force" in terminal.fails("restore", str(file))
    assert terminal.json("restore", str(file), "--force")["records"] == told["records"]
    everywhere_sync.flushall()
    assert terminal.json("restore", str(file))["records"] == told["records"]
    assert [one["name"] for one in terminal.json("account", "list")["accounts"]] == ["acme"]


def test_check_names_each_orphan_and_exits_with_1(terminal: Terminal, everywhere_sync: Redis) -> None:
    assert terminal.json("check") == {"ok": True, "problems": []}
    everywhere_sync.hset(keys.ACCOUNTS, "ghost", "a0")
    assert "the name ghost is taken by account a0, which does not exist" in terminal.fails("check")


def test_keys_rotate_counts_what_it_encrypted_anew(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (keyfile.generate()["encryption_keys"] for _ in range(2))
    monkeypatch.setenv("PRESENCE_SECRETS__ENCRYPTION_KEYS", old)
    terminal.json("account", "create", "acme")
    monkeypatch.setenv("PRESENCE_UPSTREAM_CREDENTIAL", "a-credential")
    terminal.json("instance", "create", "acme", "i", "--upstream-kind", "waha", "--upstream-url", "http://waha:3000")
    monkeypatch.setenv("PRESENCE_SECRETS__ENCRYPTION_KEYS", f"{new},{old}")
    assert [terminal.json("keys", "rotate")["resealed"] for _ in range(2)] == [1, 0]
    monkeypatch.setenv("PRESENCE_SECRETS__ENCRYPTION_KEYS", new)
    assert "waha" in terminal.says("instance", "list", "acme")
