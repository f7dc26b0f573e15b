"""`presence-gateway dev`: one command that starts everything, keeps it running, and stops it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from installation import Installation, installed, is_alive, outside_environment
from terminal import Run

WITHIN_S = 20.0
NUMBER = "5511999999999"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Installation]:
    """One that the test may stop and start again."""
    with installed(tmp_path) as own:
        yield own


def wait_until(probe: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


def test_when_the_ready_file_is_there_everything_serves(installation: Installation) -> None:
    ready = installation.ready
    assert installation.ready_file.stat().st_mode & 0o777 == 0o600
    assert all(is_alive(pid) for pid in installation.every_pid)
    for address in (
        f"{ready['url']}/health",
        f"{ready['admin_url']}/readyz",
        f"{ready['worker_url']}/readyz",
        f"{ready['sandbox_url']}/calls",
    ):
        assert requests.get(address, timeout=5).status_code == 200, address


def test_the_banners_curl_line_works_pasted(installation: Installation) -> None:
    line = next(line for line in installation.out.splitlines() if line.startswith("curl "))
    told = json.loads(subprocess.check_output(["sh", "-c", line], stderr=subprocess.DEVNULL))
    assert (told["success"], told["chat_jid"], told["duration"]) == (True, f"{NUMBER}@s.whatsapp.net", 5)


def test_the_banners_command_works_pasted(installation: Installation) -> None:
    (line,) = [line for line in installation.out.splitlines() if line.startswith("  Commands ")]
    command = line.removeprefix("  Commands").partition("  (")[0].strip()
    environ = outside_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert "demo" in subprocess.check_output(["sh", "-c", command], env=environ, text=True)


def test_the_tokens_are_printed_to_standard_output_and_nowhere_else(installation: Installation) -> None:
    for name in ("account_token", "instance_token"):
        assert installation.ready[name] in installation.out
        assert installation.ready[name] not in installation.log
    assert installation.ready["admin_key"] not in installation.out + installation.log
    assert "\x1b" not in installation.out


def test_commands_join_the_runner_by_its_data_folder(installation: Installation, run: Run) -> None:
    listed = run("--data", str(installation.data), "account", "list", "--json")
    assert "demo" in [account["name"] for account in listed.json["accounts"]]


def test_what_a_command_makes_the_gateway_knows_at_once(
    installation: Installation, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in installation.ready["env"].items():
        monkeypatch.setenv(name, value)
    run("account", "create", "acme")
    token = run("instance", "create", "acme", "sales", "--json").json["token"]

    told = run(
        "send", "sales", NUMBER, "typing", "--duration", "1", "--url", installation.ready["url"], "--token", token
    )

    assert told.code == 0
    assert "Presence 'typing' sent successfully (will auto-pause after 1 seconds)\n99 of 100 left" in told.out


def test_send_fails_with_the_gateways_own_words(installation: Installation, run: Run) -> None:
    where = ("--url", installation.ready["url"], "--token", installation.ready["instance_token"])
    refused = run("send", "demo", NUMBER, "dancing", *where, "--json")
    assert refused.code == 1
    assert refused.err == "presence-gateway: Invalid state. Use 'typing', 'recording', or 'pause'\n"
    assert refused.json["rate_limit"]["limit"] == 100
    assert refused.json["success"] is False


def test_a_second_ctrl_c_kills_what_takes_too_long(own: Installation) -> None:
    pids = own.every_pid
    os.kill(own.ready["pids"]["gateway"][0], signal.SIGSTOP)
    os.kill(own.runner_pid, signal.SIGINT)
    wait_until(lambda: "stopping" in own.log)
    assert own.stop(signal.SIGINT) == 130
    assert not any(is_alive(pid) for pid in pids)


def test_a_process_that_cannot_start_ends_the_start(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", "false")
    refused = run("dev", "--port", "0", "--admin-port", "0", "--ready-file", "ready.json")
    assert refused.code == 1
    assert "process ended while starting" in refused.err
    assert not (tmp_path / "ready.json").exists()


def test_a_second_copy_on_the_same_data_is_refused_by_name_and_pid(installation: Installation, run: Run) -> None:
    refused = run("dev", "--port", "0", "--admin-port", "0", "--data", str(installation.data))
    assert refused.code == 1
    assert f"{installation.data} is in use by another presence-gateway (pid {installation.runner_pid})" in refused.err


@pytest.mark.parametrize("option", ["--port", "--admin-port", "--sandbox-port"])
def test_a_port_in_use_is_one_sentence_with_its_cure(run: Run, option: str) -> None:
    others = {"--port": "0", "--admin-port": "0", "--sandbox-port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("dev", *(word for pair in (others | {option: port}).items() for word in pair))
    assert refused.code == 1
    assert refused.err == f"presence-gateway: port {port} on 127.0.0.1 is in use; choose another with {option}\n"


def test_a_killed_process_is_started_again_and_the_ready_file_says_so(own: Installation) -> None:
    before = own.every_pid
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not set(before) & set(own.every_pid) and all(is_alive(pid) for pid in own.every_pid))
    wait_until(lambda: answers(f"{own.ready['admin_url']}/readyz") and answers(f"{own.ready['worker_url']}/readyz"))

    for name in ("gateway", "worker", "redis"):
        assert f'"process": "{name}", "ended": "by SIGKILL"' in own.log


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_the_next_start_has_the_same_tokens(own: Installation, how: signal.Signals) -> None:
    ready, pids = own.ready, own.every_pid
    assert own.stop(how) == 0
    assert not own.ready_file.exists()
    assert not any(is_alive(pid) for pid in pids)

    own.start()

    again = own.ready
    for name in ("account_token", "instance_token", "admin_key"):
        assert again[name] == ready[name]
    presence = {"number": NUMBER, "state": "pause"}
    address = f"{own.url}/api/chat/presence/demo"
    assert requests.post(address, json=presence, headers={"token": again["instance_token"]}, timeout=5).ok
    assert len(requests.get(f"{own.sandbox_url}/calls", timeout=5).json()["calls"]) == 1


def test_after_kill_9_of_the_runner_nothing_runs_and_the_next_start_is_clean(own: Installation) -> None:
    pids = own.every_pid
    own.kill_runner()
    own.start()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    assert all(is_alive(pid) for pid in own.every_pid)


def test_a_lost_demo_file_costs_new_tokens_and_nothing_else(own: Installation) -> None:
    own.stop()
    (own.data / "demo.json").unlink()

    own.start()

    for name in ("account_token", "instance_token"):
        presence = {"number": NUMBER, "state": "pause"}
        address = f"{own.url}/api/chat/presence/demo-2"
        assert requests.post(address, json=presence, headers={"token": own.ready[name]}, timeout=5).ok
