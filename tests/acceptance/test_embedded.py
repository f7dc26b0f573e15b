"""The embedded Valkey: durable, alone on its folder, and back after whatever happened to it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from valkeys import start_valkey

from gateway.process.embedded import EmbeddedError, Valkey


def connect(url: str) -> Redis:
    return Redis.from_url(url)


def is_running(pid: int) -> bool:
    """A zombie, whose parent has yet to notice, does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def leave_an_orphan(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a server as a runner would that was then killed."""
    folder.mkdir(parents=True, exist_ok=True)
    valkey = Valkey.of(folder)
    orphan = subprocess.Popen(valkey.command)
    deadline = time.monotonic() + 10
    while not valkey.answers():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return orphan


def test_it_answers_as_soon_as_the_block_begins_and_is_gone_when_it_ends(tmp_path: Path) -> None:
    with start_valkey(tmp_path / "data") as valkey, connect(valkey.url) as client:
        assert client.ping()
        assert is_running(valkey.pid)
    assert not is_running(valkey.pid)
    assert not (tmp_path / "data" / "valkey.sock").exists()
    assert not (tmp_path / "data" / "valkey.pid").exists()


def test_it_writes_to_disk_before_it_answers_and_never_evicts(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        found = client.config_get("append*", "maxmemory-policy")
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "always"
    assert found["maxmemory-policy"] == "noeviction"


def test_its_data_is_its_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with start_valkey(folder) as valkey, connect(valkey.url) as client:
        client.set("a", 1)
        others = [path for path in (folder, *folder.rglob("*.*")) if path.stat().st_mode & 0o077]
    assert others == []


def test_what_it_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        for number in range(100):
            client.set(f"k{number}", number)
        os.kill(valkey.pid, signal.SIGKILL)
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        assert client.dbsize() == 100


def test_it_returns_only_when_it_has_read_its_data(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        client.eval("for i = 1, 100000 do redis.call('SET', 'k' .. i, i) end", 0)
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        assert client.dbsize() == 100_000


def test_an_orphan_is_found_through_its_socket_and_loses_nothing(tmp_path: Path) -> None:
    orphan = leave_an_orphan(tmp_path)
    with connect(Valkey.of(tmp_path).url) as client:
        client.set("kept", "yes")
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        assert orphan.wait(0) == 0
        assert client.get("kept") == b"yes"


def test_an_orphan_whose_socket_was_removed_is_found_through_its_pid_file(tmp_path: Path) -> None:
    orphan = leave_an_orphan(tmp_path)
    (tmp_path / "valkey.sock").unlink()
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        assert orphan.wait(0) == 0
        assert client.ping()


def test_a_stale_socket_and_pid_file_are_no_obstacle(tmp_path: Path) -> None:
    orphan = leave_an_orphan(tmp_path)
    orphan.kill()
    orphan.wait()
    assert (tmp_path / "valkey.sock").exists()
    assert (tmp_path / "valkey.pid").exists()
    with start_valkey(tmp_path) as valkey, connect(valkey.url) as client:
        assert client.ping()


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "valkey.pid").write_text(str(stranger.pid))
        with start_valkey(tmp_path):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_long_path_gets_a_socket_elsewhere_that_only_its_owner_reaches(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    with start_valkey(folder) as valkey, connect(valkey.url) as client:
        assert client.ping()
        socket = Valkey.of(folder).socket
    assert len(os.fsencode(socket)) <= 100
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert valkey.url == Valkey.of(folder).url


def test_a_place_for_sockets_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / f"presence-gateway-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match="only this user can enter"):
        Valkey.of(tmp_path / ("long" * 30))


def test_a_path_with_spaces_and_signs_works(tmp_path: Path) -> None:
    with start_valkey(tmp_path / "a b%20?#é") as valkey, connect(valkey.url) as client:
        assert client.ping()
