"""What the README shows, in a browser and with real processes: typing appears, and goes by itself though all died."""

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.caller import Client
from installation import Installation, installed
from playwright.async_api import Page, expect

pytestmark = pytest.mark.timeout(90)

PHONE = "#chats [data-chat='5511999999999@s.whatsapp.net']"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path) as installation:
        yield installation


async def paste(installation: Installation) -> str:
    """Run the line that the runner printed, as a newcomer does."""
    (line,) = [line for line in installation.out.splitlines() if line.startswith("curl ")]
    run = await asyncio.create_subprocess_exec(*shlex.split(line), stdout=PIPE, stderr=PIPE)
    answer, _ = await run.communicate()
    return answer.decode()


async def test_the_printed_line_shows_typing_and_it_goes_by_itself(installation: Installation, page: Page) -> None:
    await page.goto(str(installation.ready["sandbox_url"]) + "/?instance=demo")
    assert (await paste(installation)).startswith('{"success":true')
    await expect(page.locator(PHONE)).to_have_attribute("data-state", "typing", timeout=3000)
    await expect(page.locator(PHONE)).to_have_attribute("data-state", "paused", timeout=8000)


async def test_a_message_on_the_page_ends_the_indicator_through_the_gateway(
    installation: Installation, page: Page
) -> None:
    await page.goto(str(installation.ready["sandbox_url"]) + "/?instance=demo")
    async with Client(installation) as client:
        body = {"number": "5511999999999", "state": "typing", "hold": True}
        answer = await client.post("demo", body, token=str(installation.ready["instance_token"]))
        assert answer.body["duration"] == 600
        await expect(page.locator(PHONE)).to_have_attribute("data-state", "typing", timeout=3000)
        await page.get_by_label("Message", exact=True).fill("hello")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator(PHONE).locator(".said")).to_have_text("hello")
        await expect(page.locator(PHONE)).to_have_attribute("data-state", "paused", timeout=5000)
        assert await client.stays_paused("5511999999999@s.whatsapp.net")


async def test_it_goes_even_when_gateway_and_worker_were_killed_in_between(
    installation: Installation, page: Page
) -> None:
    await page.goto(str(installation.ready["sandbox_url"]) + "/?instance=demo")
    await paste(installation)
    for pid in installation.pids["gateway"] + installation.pids["worker"]:
        os.kill(pid, signal.SIGKILL)
    await expect(page.locator(PHONE)).to_have_attribute("data-state", "typing", timeout=3000)
    await expect(page.locator(PHONE)).to_have_attribute("data-state", "paused", timeout=15000)
