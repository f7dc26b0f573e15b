"""The commands: what they print, how they fail, and that `dev` keeps everything running."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from gateway import VERSION
from gateway.commands import cli
from gateway.process import keyfile
from gateway.tenants import tokens

WITHIN_S = 20.0
NUMBER = "5511999999999"


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.out)
        assert isinstance(parsed, dict)
        return parsed


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs one command in an empty folder, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PRESENCE_")]:
        monkeypatch.delenv(name)

    def run_one(*arguments: str) -> Ran:
        code = 0
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ran(code, printed.out, printed.err)

    return run_one


@pytest.fixture
def operate(run: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands on an empty installation."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    for name, value in keyfile.generate().items():
        monkeypatch.setenv(f"PRESENCE_SECRETS__{name.upper()}", value)
    return run


# Accounts, instances, tokens


def test_an_account_is_made_with_a_token_that_is_shown_once(operate: Run) -> None:
    made = operate("account", "create", "acme", "--per-minute", "500", "--json").json
    assert made.keys() == {"id", "name", "token"}
    assert tokens.is_plausible(made["token"])

    listed = operate("account", "list", "--json")

    assert [(found["id"], found["name"], found["per_minute"]) for found in listed.json["accounts"]] == [
        (made["id"], "acme", 500)
    ]
    assert made["token"] not in listed.out


def test_an_instance_is_made_on_its_upstream_and_its_credential_is_never_shown(operate: Run, redis_url: str) -> None:
    operate("account", "create", "acme")
    upstream = ["--upstream-kind", "waha", "--upstream-url", "http://waha:3000", "--upstream-session", "default"]

    made = operate("instance", "create", "acme", "sales", *upstream, "--upstream-credential", "s3cret", "--json").json
    listed = operate("instance", "list", "acme", "--json")

    assert made.keys() == {"id", "name", "token", "account"}
    assert (made["name"], made["account"]) == ("sales", "acme")
    assert listed.json["instances"] == [
        {"id": made["id"], "name": "sales", "upstream": "waha", "url": "http://waha:3000", "session": "default"}
    ]
    with Redis.from_url(redis_url) as client:
        stored = b"".join(client.dump(key) or b"" for key in client.scan_iter())
    assert b"s3cret" not in stored
    assert made["token"].encode() not in stored


def test_the_credential_and_the_token_can_come_from_the_environment(
    operate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate("account", "create", "acme")
    monkeypatch.setenv("PRESENCE_UPSTREAM_CREDENTIAL", "s3cret")
    monkeypatch.setenv("PRESENCE_INSTANCE_TOKEN", "mine-and-long-enough")
    upstream = ["--upstream-kind", "waha", "--upstream-url", "http://waha:3000"]
    assert operate("instance", "create", "acme", "sales", *upstream, "--json").json["token"] == "mine-and-long-enough"


def test_an_instance_can_have_a_token_of_the_operators_choice(operate: Run) -> None:
    operate("account", "create", "acme")
    made = operate("instance", "create", "acme", "sales", "--token", "mine-and-long-enough", "--json").json
    assert made["token"] == "mine-and-long-enough"
    again = operate("instance", "create", "acme", "support", "--token", "mine-and-long-enough")
    assert (again.code, again.err) == (1, "presence-gateway: Token already in use\n")


def test_a_token_is_issued_and_revoked_by_its_id(operate: Run, redis_url: str) -> None:
    operate("account", "create", "acme")
    issued = operate("token", "issue", "acme", "--name", "crm", "--json").json
    assert issued.keys() == {"id", "name", "token"}
    assert issued["name"] == "crm"

    assert operate("token", "revoke", issued["id"], "--json").json == {"id": issued["id"], "revoked": True}

    again = operate("token", "revoke", issued["id"])
    assert (again.code, again.err) == (1, "presence-gateway: Token not found\n")


def test_people_get_the_token_whole_and_lists_as_tables(operate: Run) -> None:
    made = operate("account", "create", "acme")
    token = made.out.splitlines()[-1]
    assert "Account acme is made" in made.out
    assert tokens.is_plausible(token)
    assert operate("account", "list").out.split()[:3] == ["name", "id", "status"]
    assert "presence-gateway instance create acme NAME" in operate("instance", "list", "acme").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("account", "create", "acme"), "Account already exists"),
        (("instance", "create", "nobody", "sales"), "Account not found"),
        (("instance", "create", "acme", "taken"), "Instance already exists"),
        (("instance", "list", "nobody"), "Account not found"),
        (("token", "issue", "nobody"), "Account not found"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(operate: Run, arguments: tuple[str, ...], sentence: str) -> None:
    operate("account", "create", "acme")
    operate("instance", "create", "acme", "taken")
    refused = operate(*arguments)
    assert (refused.code, refused.out, refused.err) == (1, "", f"presence-gateway: {sentence}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("account", "create", "a name"),
        ("account", "create", ""),
        ("account", "create", "acme", "--per-minute", "0"),
        ("instance", "create", "acme", "x" * 101),
        ("instance", "create", "acme", "a/b"),
        ("instance", "create", "acme", "sales", "--token", "short"),
        ("instance", "create", "acme", "sales", "--token", "pgi_looks-like-one-of-ours"),
        ("instance", "create", "acme", "sales", "--upstream-url", "http://waha"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "waha"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "telegram", "--upstream-url", "http://t"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "waha", "--upstream-url", "ftp://waha"),
        ("send", "sales", NUMBER, "typing"),
        ("dev", "--port", "65536"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(operate: Run, arguments: tuple[str, ...]) -> None:
    assert operate(*arguments).code == 2
    assert operate("account", "list", "--json").json == {"accounts": []}


# Without an installation


def test_without_a_redis_the_operator_is_told_what_to_set(run: Run) -> None:
    refused = run("account", "list")
    assert refused.code == 1
    assert "PRESENCE_REDIS__URL" in refused.err
    assert "presence-gateway dev" in refused.err


def test_a_redis_that_is_down_is_named_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_REDIS__URL", "redis://user:hidden@127.0.0.1:1/0")
    monkeypatch.setenv("PRESENCE_SECRETS__PEPPER", "p")
    refused = run("account", "list")
    assert refused.code == 1
    assert "Redis does not answer at redis://user:***@127.0.0.1:1/0" in refused.err
    assert "hidden" not in refused.err


@pytest.mark.parametrize("command", [("serve",), ("account", "create", "acme")])
def test_no_token_is_ever_hashed_without_a_pepper(
    run: Run, command: tuple[str, ...], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    refused = run(*command)
    assert refused.code == 1
    assert "[secrets] pepper" in refused.err


def test_send_says_where_it_found_nobody(run: Run) -> None:
    refused = run("send", "sales", NUMBER, "typing", "--token", "t", "--url", "http://127.0.0.1:1")
    assert refused.code == 1
    assert "cannot reach http://127.0.0.1:1" in refused.err


# Settings and keys


def test_check_config_prints_what_is_in_effect_with_secrets_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_LIMITS__PER_MINUTE", "7")
    monkeypatch.setenv("PRESENCE_SECRETS__PEPPER", "hidden")
    checked = run("check-config")
    assert checked.code == 0
    assert "[limits]\nper_minute = 7\n" in checked.out
    assert 'pepper = "***"' in checked.out
    assert "hidden" not in checked.out
    assert "[redis] url (PRESENCE_REDIS__URL): needed" in checked.err
    assert run("check-config", "--json").json["settings"]["limits"]["per_minute"] == 7


def test_check_config_reports_every_error_at_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[http]\nport = -1\n[log]\nlevel = "loud"\n[limit]\n')
    checked = run("check-config", str(file))
    assert checked.code == 1
    for wrong in ("[http] port", "[log] level", "[limit]"):
        assert wrong in checked.err
    assert len(run("check-config", str(file), "--json").json["problems"]) == 3


def test_check_config_knows_the_upstreams(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_UPSTREAM__KIND", "telegram")
    monkeypatch.setenv("PRESENCE_UPSTREAM__URL", "http://t")
    checked = run("check-config")
    assert checked.code == 1
    assert "[upstream] kind: there is no such kind; known are sandbox" in checked.err


def test_generated_keys_are_a_secrets_file_that_loads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets.toml").write_text(run("keys", "generate").out)
    monkeypatch.setenv("PRESENCE_SECRETS__FILE", "secrets.toml")
    assert run("check-config").code == 0
    assert run("keys", "generate", "--json").json.keys() == {"pepper", "encryption_keys", "admin_key"}


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"presence-gateway {VERSION}\n"


@pytest.mark.parametrize("command", ["dev", "serve", "sandbox", "send", "check-config"])
def test_every_command_teaches_by_example(run: Run, command: str) -> None:
    assert f"presence-gateway {command}" in run(command, "--help").out.partition("Examples")[2]


# dev


class Dev:
    """`presence-gateway dev` as a process."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self._out = folder / "out"
        self._err = folder / "err"
        command = [sys.executable, "-m", "gateway", "dev", "--port", "0", "--admin-port", "0"]
        command += ["--data", str(self.data), "--ready-file", str(self.ready_file), *options]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=err, cwd=folder)
        wait_until(self.ready_file.exists)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def ready(self) -> dict[str, Any]:
        parsed = json.loads(self.ready_file.read_text())
        assert isinstance(parsed, dict)
        return parsed

    @property
    def pids(self) -> list[int]:
        pids = self.ready["pids"]
        return [*pids["gateway"], *pids["worker"], pids["redis"]]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(WITHIN_S)


def wait_until(probe: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One that nobody stops."""
    running = Dev(tmp_path_factory.mktemp("dev"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Starts one on this test's folder, whatever becomes of it."""
    started: list[Dev] = []

    def start_one(*options: str) -> Dev:
        started.append(Dev(tmp_path, *options))
        return started[-1]

    yield start_one
    for one in started:
        one.stop()


def test_when_the_ready_file_is_there_everything_serves(dev: Dev) -> None:
    ready = dev.ready
    assert dev.ready_file.stat().st_mode & 0o777 == 0o600
    assert all(is_running(pid) for pid in dev.pids)
    for address in (
        f"{ready['url']}/health",
        f"{ready['admin_url']}/readyz",
        f"{ready['worker_url']}/readyz",
        f"{ready['sandbox_url']}/calls",
    ):
        assert requests.get(address, timeout=5).status_code == 200, address


def test_the_banners_curl_line_works_pasted(dev: Dev) -> None:
    line = next(line for line in dev.out.splitlines() if line.startswith("curl "))
    told = json.loads(subprocess.check_output(["sh", "-c", line], stderr=subprocess.DEVNULL))
    assert (told["success"], told["chat_jid"], told["duration"]) == (True, f"{NUMBER}@s.whatsapp.net", 5)


def test_the_tokens_are_printed_to_standard_output_and_nowhere_else(dev: Dev) -> None:
    for name in ("account_token", "instance_token"):
        assert dev.ready[name] in dev.out
        assert dev.ready[name] not in dev.err
    assert dev.ready["admin_key"] not in dev.out + dev.err
    assert "\x1b" not in dev.out


def test_commands_join_the_runner_by_its_data_folder(dev: Dev, run: Run) -> None:
    listed = run("--data", str(dev.data), "account", "list", "--json")
    assert "demo" in [account["name"] for account in listed.json["accounts"]]


def test_what_a_command_makes_the_gateway_knows_at_once(dev: Dev, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dev.ready["env"].items():
        monkeypatch.setenv(name, value)
    run("account", "create", "acme")
    token = run("instance", "create", "acme", "sales", "--json").json["token"]

    told = run("send", "sales", NUMBER, "typing", "--duration", "1", "--url", dev.ready["url"], "--token", token)

    assert told.code == 0
    assert "Presence 'typing' sent successfully (will auto-pause after 1 seconds)\n99 of 100 left" in told.out


def test_send_fails_with_the_gateways_own_words(dev: Dev, run: Run) -> None:
    where = ("--url", dev.ready["url"], "--token", dev.ready["instance_token"])
    refused = run("send", "demo", NUMBER, "dancing", *where, "--json")
    assert refused.code == 1
    assert refused.err == "presence-gateway: Invalid state. Use 'typing', 'recording', or 'pause'\n"
    assert refused.json["rate_limit"]["limit"] == 100
    assert refused.json["success"] is False


def test_a_second_ctrl_c_kills_what_takes_too_long(start: Callable[..., Dev]) -> None:
    dev = start()
    pids = dev.pids
    os.kill(dev.ready["pids"]["gateway"][0], signal.SIGSTOP)
    dev.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in dev.err)
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(WITHIN_S) == 130
    assert not any(is_running(pid) for pid in pids)


def test_a_process_that_cannot_start_ends_the_start(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", "false")
    refused = run("dev", "--port", "0", "--admin-port", "0", "--ready-file", "ready.json")
    assert refused.code == 1
    assert "process ended while starting" in refused.err
    assert not (tmp_path / "ready.json").exists()


def test_a_second_copy_on_the_same_data_is_refused_by_name_and_pid(dev: Dev, run: Run) -> None:
    refused = run("dev", "--port", "0", "--admin-port", "0", "--data", str(dev.data))
    assert refused.code == 1
    assert f"{dev.data} is in use by another presence-gateway (pid {dev.process.pid})" in refused.err


@pytest.mark.parametrize("option", ["--port", "--admin-port", "--sandbox-port"])
def test_a_port_in_use_is_one_sentence_with_its_cure(run: Run, option: str) -> None:
    others = {"--port": "0", "--admin-port": "0", "--sandbox-port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("dev", *(word for pair in (others | {option: port}).items() for word in pair))
    assert refused.code == 1
    assert refused.err == f"presence-gateway: port {port} on 127.0.0.1 is in use; choose another with {option}\n"


def test_a_killed_process_is_started_again_and_the_ready_file_says_so(start: Callable[..., Dev]) -> None:
    dev = start()
    before = dev.pids
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not set(before) & set(dev.pids) and all(is_running(pid) for pid in dev.pids))
    wait_until(lambda: answers(f"{dev.ready['admin_url']}/readyz") and answers(f"{dev.ready['worker_url']}/readyz"))

    for name in ("gateway", "worker", "redis"):
        assert f'"process": "{name}", "ended": "by SIGKILL"' in dev.err


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_the_next_start_has_the_same_tokens(
    start: Callable[..., Dev], how: signal.Signals
) -> None:
    first = start()
    ready, pids = first.ready, first.pids
    assert first.stop(how) == 0
    assert not first.ready_file.exists()
    assert not any(is_running(pid) for pid in pids)

    again = start().ready

    for name in ("account_token", "instance_token", "admin_key"):
        assert again[name] == ready[name]
    presence = {"number": NUMBER, "state": "pause"}
    address = f"{again['url']}/api/chat/presence/demo"
    assert requests.post(address, json=presence, headers={"token": again["instance_token"]}, timeout=5).ok
    assert len(requests.get(f"{again['sandbox_url']}/calls", timeout=5).json()["calls"]) == 1


def test_after_kill_9_of_the_runner_nothing_runs_and_the_next_start_is_clean(start: Callable[..., Dev]) -> None:
    first = start()
    pids = first.pids
    first.process.kill()
    first.process.wait()
    first.ready_file.unlink()
    again = start()
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert all(is_running(pid) for pid in again.pids)


def test_a_lost_demo_file_costs_new_tokens_and_nothing_else(start: Callable[..., Dev]) -> None:
    first = start()
    first.stop()
    (first.data / "demo.json").unlink()

    ready = start().ready

    for name in ("account_token", "instance_token"):
        presence = {"number": NUMBER, "state": "pause"}
        address = f"{ready['url']}/api/chat/presence/demo-2"
        assert requests.post(address, json=presence, headers={"token": ready[name]}, timeout=5).ok
