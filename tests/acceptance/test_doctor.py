"""`presence-gateway doctor` follows the way of a presence, and says where it ends."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass

import pytest
from cryptography.fernet import Fernet
from fakes.waha import FakeWaha
from redis.asyncio import Redis

from gateway.presence.model import Target


@dataclass
class Installation:
    """Commands on the test's own Redis, with one account."""

    environment: dict[str, str]

    async def run(self, *words: str) -> tuple[int, dict[str, object]]:
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *words, "--json", env=self.environment, stdout=PIPE, stderr=PIPE
        )
        out, err = await command.communicate()
        assert b"Traceback" not in err, err.decode()
        return command.returncode or 0, json.loads(out)

    async def doctor(self, target: Target) -> tuple[int, dict[str, str]]:
        upstream = ("--upstream-kind", target.kind, "--upstream-url", target.url, "--upstream-session", target.session)
        await self.run("instance", "create", "acme", "sales", *upstream, "--upstream-credential", target.credential)
        code, answer = await self.run("doctor", "--instance", "sales")
        findings = answer["findings"]
        assert isinstance(findings, list)
        return code, {finding["check"]: finding["verdict"] for finding in findings}


@pytest.fixture
async def installation(redis: Redis, redis_url: str) -> Installation:
    keys = {"PRESENCE_SECRETS__PEPPER": "pepper", "PRESENCE_SECRETS__ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    installation = Installation(os.environ | keys | {"PRESENCE_REDIS__URL": redis_url})
    await installation.run("account", "create", "acme")
    return installation


async def test_a_healthy_instance_is_well(installation: Installation) -> None:
    async with FakeWaha() as fake:
        code, verdicts = await installation.doctor(fake.target())
    assert code == 0
    assert set(verdicts.values()) == {"ok"}


async def test_a_refused_credential_is_named(installation: Installation) -> None:
    async with FakeWaha() as fake:
        code, verdicts = await installation.doctor(fake.target(credential="wrong"))
    assert code == 1
    assert (verdicts["upstream reached"], verdicts["credential accepted"]) == ("ok", "bad")


async def test_a_session_that_is_down_is_named(installation: Installation) -> None:
    async with FakeWaha() as fake:
        fake.sessions[fake.SESSION] = "SCAN_QR_CODE"
        code, verdicts = await installation.doctor(fake.target())
    assert code == 1
    assert (verdicts["credential accepted"], verdicts["session connected"]) == ("ok", "bad")


async def test_an_upstream_that_is_not_there_is_named(installation: Installation) -> None:
    async with FakeWaha() as fake:
        target = fake.target()
    code, verdicts = await installation.doctor(target)
    assert code == 1
    assert (verdicts["clock"], verdicts["upstream reached"]) == ("ok", "bad")


async def test_of_two_instances_of_one_name_the_account_says_which(installation: Installation) -> None:
    async with FakeWaha() as fake:
        await installation.doctor(fake.target())
        await installation.run("account", "create", "other")
        await installation.run("instance", "create", "other", "sales")
        code, _ = await installation.run("doctor", "--instance", "sales", "--account", "acme")
        assert code == 0
    refused = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "doctor", "--instance", "sales", env=installation.environment, stderr=PIPE
    )
    _, err = await refused.communicate()
    assert (refused.returncode, err.decode().strip().endswith("say whose with --account")) == (1, True)
