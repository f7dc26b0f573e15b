"""Real processes, real signals: whatever dies, the pause arrives, late by no more than the fault table allows.

These tests have an installation of their own and run in the order of this file; each leaves it whole.
"""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from acceptance.answers import assert_error
from acceptance.caller import CLOCK_S, NOISE_S, NUMBERS_BEGIN, Call, Client, eventually, jid
from installation import (
    POLL_S,
    ROOT,
    START_WITHIN_S,
    STOP_WITHIN_S,
    Installation,
    dev_command,
    installed,
    is_alive,
    outside_environment,
)
from operated import Tenant
from redis import Redis, RedisError

DOCUMENTED_NUMBER = "5511999999999"  # the banner's curl line may show it


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that may be killed."""
    with installed(tmp_path_factory.mktemp("killed")) as own:
        yield own


@pytest.fixture(scope="module")
def account(services: Installation) -> tuple[str, str]:
    return services.create_account()


@pytest.fixture
def owner(services: Installation, account: tuple[str, str]) -> Tenant:
    """An instance of the test's own: what one test broke and owes, the next does not meet."""
    name, account_token = account
    return Tenant(name, account_token, *services.create_instance(name))


@pytest.fixture
def second_worker(services: Installation) -> Iterator[Path]:
    """A worker that the runner does not know of; its log."""
    log = services.folder / "second-worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers"], cwd=ROOT, env=services.environment, stdout=output, stderr=output
        )
    deadline = time.monotonic() + START_WITHIN_S
    try:
        while not log.stat().st_size:
            assert process.poll() is None, "the second worker ended at once"
            assert time.monotonic() < deadline, "the second worker does not log that it starts"
            time.sleep(POLL_S)
        yield log
    finally:
        process.terminate()
        code = process.wait(STOP_WITHIN_S)
    assert code == 0, log.read_text()
    assert_discreet(log.read_text(), services)


def kill(pids: list[int], how: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        os.kill(pid, how)


async def until_restarted(services: Installation, role: str, before: list[int]) -> None:
    """Wait until the runner has replaced every process of a role, and says so."""

    async def replaced() -> bool | None:
        now = services.pids[role]
        return (len(now) == len(before) and not set(now) & set(before) and all(map(is_alive, now))) or None

    await eventually(replaced, within=15, what=f"the runner replaces the {role} processes")


async def until_redis_answers(services: Installation) -> float:
    """Wait for Valkey; the time at which it answered."""

    def ping() -> bool:
        with Redis.from_url(str(services.ready["redis_url"]), socket_timeout=1) as redis:
            try:
                return bool(redis.ping())
            except RedisError:
                return False

    async def answered() -> float | None:
        return time.time() if await asyncio.to_thread(ping) else None

    return await eventually(answered, within=20, what="Valkey answers again")


def lateness(shown: Call, paused: Call, duration: float) -> float:
    late = paused.at - shown.at - duration
    assert late >= -CLOCK_S, "a pause came before its time"
    return late


async def show(client: Client, owner: Tenant, number: str, duration: int) -> Call:
    """Show an indicator; the sandbox's record of it."""
    answer = await client.show(owner, number, "typing", duration)
    assert answer.status == 200, answer.raw
    (shown,) = await client.calls_for(jid(number))
    return shown


async def sleep_until(wall: float) -> None:
    await asyncio.sleep(max(0.0, wall - time.time()))


# One process dies


async def test_the_gateway_is_killed_right_after_its_200(services: Installation, owner: Tenant, number: str) -> None:
    """Fault table: gateway killed after calling the upstream, 6 s."""
    async with Client(services) as client:
        gateways = services.pids["gateway"]
        answer = await client.show(owner, number, "typing", 2)
        kill(gateways)

        assert answer.status == 200
        paused = await client.wait_for_pause(jid(number), within=2 + 6 + NOISE_S)
        shown = (await client.calls_for(jid(number)))[0]
        assert lateness(shown, paused, 2) <= 6 + NOISE_S

        await until_restarted(services, "gateway", gateways)
        await client.wait_until_served()


async def test_the_gateway_is_killed_right_after_it_received_an_event(
    services: Installation, owner: Tenant, number: str
) -> None:
    """The message had come: the indicator is paused, and nothing is shown after that."""
    async with Client(services) as client:
        await show(client, owner, number, 60)
        gateways = services.pids["gateway"]
        answer = await client.report_message(owner, number)
        kill(gateways)

        assert answer.status == 200
        await client.wait_for_pause(jid(number), within=6 + NOISE_S)
        await until_restarted(services, "gateway", gateways)
        await client.wait_until_served()
        assert [call.state for call in await client.calls_for(jid(number))][:1] == ["typing"]
        assert await client.stays_paused(jid(number))


async def test_the_gateway_is_killed_while_the_upstream_is_being_called(
    services: Installation, owner: Tenant, number: str
) -> None:
    """Fault table: gateway killed while calling the upstream, 6 s: nobody got an answer, the phone shows typing."""
    async with Client(services) as client:
        await client.fault(owner, "slow", delay=1.0, state="typing", count=1)
        gateways = services.pids["gateway"]
        asking = asyncio.create_task(client.show(owner, number, "typing", 2))
        await asyncio.sleep(0.5)
        kill(gateways)
        [unanswered] = await asyncio.gather(asking, return_exceptions=True)

        assert isinstance(unanswered, (OSError, aiohttp.ClientError))
        paused = await client.wait_for_pause(jid(number), within=1 + 2 + 6 + NOISE_S)
        calls = await client.calls_for(jid(number))
        assert calls[-1] == paused
        if calls[0].state == "typing":
            assert paused.at - calls[0].at <= 2 + 6 + NOISE_S

        await until_restarted(services, "gateway", gateways)
        await client.wait_until_served()


async def test_the_worker_is_killed_before_the_time(services: Installation, owner: Tenant, number: str) -> None:
    """Fault table: worker killed before sending, 3 s."""
    async with Client(services) as client:
        workers = services.pids["worker"]
        shown = await show(client, owner, number, 2)
        await sleep_until(shown.at + 1.7)
        kill(workers)

        paused = await client.wait_for_pause(jid(number), within=2 + 3 + NOISE_S)
        assert lateness(shown, paused, 2) <= 3 + NOISE_S
        await until_restarted(services, "worker", workers)


async def test_the_worker_is_killed_while_it_sends_the_pause(
    services: Installation, owner: Tenant, number: str
) -> None:
    """Fault table: worker killed while sending, 7 s."""
    async with Client(services) as client:
        await client.fault(owner, "hang", state="paused", count=1)
        workers = services.pids["worker"]
        shown = await show(client, owner, number, 1)
        await sleep_until(shown.at + 1.5)
        assert [call.state for call in await client.calls_for(jid(number))] == ["typing"]
        kill(workers)

        paused = await client.wait_for_pause(jid(number), within=1 + 7 + NOISE_S)
        assert lateness(shown, paused, 1) <= 7 + NOISE_S
        await until_restarted(services, "worker", workers)


async def test_a_killed_worker_is_replaced_by_another_that_is_alive(
    services: Installation, second_worker: Path, owner: Tenant, number: str
) -> None:
    """A killed worker with another one alive: within 7 s, whoever of the two had taken the pause."""
    async with Client(services) as client:
        workers = services.pids["worker"]
        await client.fault(owner, "hang", state="paused", count=1)
        shown = await show(client, owner, number, 2)
        await sleep_until(shown.at + 2.3)
        kill(workers)

        paused = await client.wait_for_pause(jid(number), within=2 + 7 + NOISE_S)
        assert lateness(shown, paused, 2) <= 7 + NOISE_S
        await until_restarted(services, "worker", workers)


async def test_valkey_is_killed_and_restarted(services: Installation, owner: Tenant, number: str) -> None:
    """Fault table: Redis killed and restarted, its downtime + 0.2 s."""
    async with Client(services) as client:
        before = services.pids["redis"]
        shown = await show(client, owner, number, 2)
        await sleep_until(shown.at + 1.7)
        kill(before)
        await until_restarted(services, "redis", before)
        back = await until_redis_answers(services)

        paused = await client.wait_for_pause(jid(number), within=2 + 3 + NOISE_S)
        assert lateness(shown, paused, 2) <= max(0.0, back - shown.at - 2) + 0.2 + NOISE_S
        assert (await client.show(owner, number, "pause")).status == 200, "the gateway outlived it"


async def test_while_valkey_does_not_answer_typing_is_refused_with_a_time_to_retry(
    services: Installation, owner: Tenant, number: str
) -> None:
    """Contract 4: 503 `Service temporarily unavailable`, when Redis is unreachable."""
    async with Client(services) as client:
        assert (await client.show(owner, number, "pause")).status == 200
        redis = services.pids["redis"]
        kill(redis, signal.SIGSTOP)
        try:
            answer = await client.show(owner, number, "typing", 5)
        finally:
            kill(redis, signal.SIGCONT)

        assert_error(answer, 503, "Service temporarily unavailable")
        assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])
        assert answer.took_s < 10

        async def works_again() -> bool | None:
            return (await client.show(owner, number, "typing", 1)).status == 200 or None

        await eventually(works_again, within=10, what="typing is accepted again")
        await client.wait_for_pause(jid(number), within=1 + 3 + NOISE_S)


async def test_gateway_worker_and_valkey_are_killed_at_once(services: Installation, owner: Tenant, number: str) -> None:
    """Everything but the sandbox dies right after the 200."""
    async with Client(services) as client:
        pids = services.pids
        shown = await show(client, owner, number, 2)
        kill([pid for role in pids.values() for pid in role])

        paused = await client.wait_for_pause(jid(number), within=2 + 10 + NOISE_S)
        lateness(shown, paused, 2)
        for role, before in pids.items():
            await until_restarted(services, role, before)
        await until_redis_answers(services)
        await client.wait_until_served()


# Everything ends, and starts again


async def restarted(services: Installation, owner: Tenant, number: str, promised_at: float) -> None:
    """After a restart on the same data: the same tokens, and what was owed is paid."""
    back = time.time()
    async with Client(services) as client:
        paused = await client.wait_for_pause(jid(number), within=10 + NOISE_S)
        assert paused.at >= promised_at - CLOCK_S
        assert paused.at <= max(back, promised_at) + 0.2 + NOISE_S
        for token in (owner.account_token, owner.instance_token, str(services.ready["account_token"])):
            instance = owner.instance if token in {owner.account_token, owner.instance_token} else "demo"
            answer = await client.post(instance, {"number": number, "state": "pause"}, token=token)
            assert answer.status == 200, answer.raw


async def test_after_sigterm_a_second_start_keeps_the_data_and_its_promises(
    services: Installation, owner: Tenant, number: str
) -> None:
    """Second start keeps the data: same tokens work, a pending pause arrives."""
    before, tokens = services.every_pid, (services.ready["account_token"], services.ready["instance_token"])
    async with Client(services) as client:
        shown = await show(client, owner, number, 6)

    assert await asyncio.to_thread(services.stop) == 0
    assert not [pid for pid in before if is_alive(pid)], "nothing is left running"
    await asyncio.to_thread(services.start)

    assert (services.ready["account_token"], services.ready["instance_token"]) == tokens
    await restarted(services, owner, number, shown.at + 6)


async def test_after_kill_9_of_the_runner_a_start_recovers_from_its_leftovers(
    services: Installation, owner: Tenant, number: str
) -> None:
    """A stale pid file, an orphaned Valkey, a ready file of the dead: a clean recovery."""
    before = services.every_pid
    async with Client(services) as client:
        shown = await show(client, owner, number, 4)

    await asyncio.to_thread(services.kill_runner)
    await asyncio.to_thread(services.start)

    async def gone() -> bool | None:
        return not [pid for pid in before if is_alive(pid)] or None

    assert not set(services.every_pid) & set(before)
    await restarted(services, owner, number, shown.at + 4)
    await eventually(gone, within=10, what="the dead runner's children end too")


# A start that cannot be


def start_in_vain(data: Path, ready_file: Path, port: str) -> str:
    """Start one more; it must end by itself, with an error that it prints."""
    done = subprocess.run(
        dev_command(data, ready_file, port),
        cwd=ROOT,
        env=outside_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode != 0, said
    assert "Traceback" not in said
    assert not ready_file.exists()
    return said


async def test_a_second_copy_on_the_same_data_is_told_so(
    services: Installation, owner: Tenant, number: str, tmp_path: Path
) -> None:
    """A second copy on the same data folder: a clear error, and the first goes on."""
    before = services.pids
    said = await asyncio.to_thread(start_in_vain, services.data, tmp_path / "ready.json", "0")

    assert str(services.data) in said.replace("\n", "")
    assert services.pids == before
    assert all(map(is_alive, services.every_pid))
    async with Client(services) as client:
        assert (await client.show(owner, number, "pause")).status == 200


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """A port in use: a clear error, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = start_in_vain(tmp_path / "data", tmp_path / "ready.json", port)

    assert port in said
    assert "in use" in said
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[int]:
    """Every process that names the folder in its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command and is_alive(int(entry.name)):
            found.append(int(entry.name))
    return found


# The end


async def test_ctrl_c_ends_everything_cleanly(services: Installation) -> None:
    """Ctrl-C, which a terminal sends to every process of the group: exit code 0, nothing left."""
    before = services.every_pid
    began = time.monotonic()
    code = await asyncio.to_thread(lambda: services.stop(signal.SIGINT, whole_group=True))

    assert code == 0
    assert time.monotonic() - began < 10
    assert not [pid for pid in before if is_alive(pid)]
    assert processes_of(services.folder) == []


def assert_discreet(text: str, services: Installation) -> None:
    """No token, no credential and no phone number; the banner may show the demo's own."""
    for line in text.splitlines():
        try:
            log_line = isinstance(json.loads(line), dict)
        except ValueError:
            log_line = False
        known = services.secrets if log_line else services.secrets - services.demo
        assert not [secret for secret in known if secret in line], "a secret was printed"
        numbers = set(re.findall(rf"{NUMBERS_BEGIN}\d{{8}}", line)) - (set() if log_line else {DOCUMENTED_NUMBER})
        assert not numbers, line


async def test_a_token_in_the_query_and_a_credential_stay_out_of_the_logs(
    installation: Installation, number: str
) -> None:
    """`?token=` in an access log included; so are bad tokens, which may be good ones mistyped."""
    credential, mistyped = (f"secret{secrets.token_hex(16)}" for _ in range(2))
    installation.secrets |= {credential, mistyped}
    upstream = {"kind": "ryzeapi", "url": installation.url, "session": "nobody", "credential": credential}
    tenant = await asyncio.to_thread(installation.create_tenant, upstream=upstream)
    body = {"number": number, "state": "typing"}
    async with Client(installation) as client:
        for query, headers in (
            (f"?token={tenant.account_token}", {}),
            (f"?token={mistyped}", {}),
            ("", {"token": mistyped}),
            ("", {"Authorization": f"Bearer {mistyped}"}),
            (f"/{number}?token={tenant.account_token}", {}),
        ):
            await client.post(tenant.instance + query, body, token=None, headers=headers)
        await client.request("GET", f"/{number}/{tenant.account_token}", headers={"X-Request-Id": number})
        metrics = await client.metrics()

    assert not [secret for secret in installation.secrets if secret in metrics]
    assert number not in metrics
    assert_discreet(installation.printed, installation)


def test_the_logs_of_the_whole_run_are_discreet(services: Installation, installation: Installation) -> None:
    """No token, credential or phone number in any log line."""
    for run in (services, installation):
        assert len(run.printed.splitlines()) > 10, "there are logs to look at"
        assert_discreet(run.printed, run)


def test_tokens_and_credentials_are_not_in_redis_in_clear(services: Installation, installation: Installation) -> None:
    """Contract 2: nor in Redis in clear, nor in anything else that is kept."""
    for run in (services, installation):
        kept = b"".join(path.read_bytes() for path in run.data.rglob("*") if path.is_file())
        assert len(kept) > 1000
        assert not [secret for secret in run.secrets - run.demo if secret.encode() in kept]


def test_no_stack_trace_was_logged_for_a_fault_that_is_expected(installation: Installation) -> None:
    """The shared installation met every upstream fault and every bad input; nothing of it was unforeseen."""
    assert "Traceback" not in installation.log
