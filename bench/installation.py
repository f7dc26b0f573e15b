"""A whole installation for a benchmark: real processes in a folder that goes when it ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_WITHIN_S = 60.0

Ready = dict[str, Any]


@contextmanager
def running() -> Iterator[Ready]:
    """Run the all-in-one runner; yields what its ready file says."""
    with tempfile.TemporaryDirectory() as folder:
        runner, ready = _start(Path(folder))
        try:
            yield ready
        finally:
            runner.send_signal(signal.SIGINT)
            runner.wait()


def _start(folder: Path) -> tuple["subprocess.Popen[bytes]", Ready]:
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "gateway", "dev", "--port", "0", "--admin-port", "0"]
    command += ["--data", str(folder / "data"), "--ready-file", str(ready)]
    with (folder / "log").open("wb") as log:
        runner = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + START_WITHIN_S
    while not ready.exists():
        if runner.poll() is not None or time.monotonic() > deadline:
            sys.exit((folder / "log").read_text())
        time.sleep(0.1)
    return runner, json.loads(ready.read_text())


def operate(ready: Ready, *words: str) -> Ready:
    """Run one of the operator's commands; returns its JSON."""
    command = [sys.executable, "-m", "gateway", *words, "--json"]
    done = subprocess.run(command, env=os.environ | ready["env"], check=True, capture_output=True)
    return dict(json.loads(done.stdout))


def create_account(ready: Ready) -> str:
    """Make an account that no limit stops, with an instance, both called `bench`; returns its token."""
    token = str(operate(ready, "account", "create", "bench", "--per-minute", "1000000")["token"])
    operate(ready, "instance", "create", "bench", "bench")
    return token
