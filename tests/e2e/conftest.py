"""A real browser, driven by Playwright; a page that complains fails its test.

All tests here share the browser, and so its event loop: each has pages of its own, that know nothing of the others'.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import chromium
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from e2e.loop import fixture
from everywhere import forget_everything, open_everywhere
from playwright.async_api import Browser, Page, async_playwright, expect
from redis.asyncio import Redis

NewPage: TypeAlias = Callable[..., Awaitable[Page]]
StartServer: TypeAlias = Callable[..., Awaitable[TestServer]]

# A busy machine is slow, not wrong; what has to come soon says how soon.
expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every test of this folder in the loop that the browser is in."""
    in_its_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.parent == Path(__file__).parent and pytest_asyncio.is_async_test(item):
            item.add_marker(in_its_loop, append=False)


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """The path of a Chromium."""
    program = chromium.find_chromium()
    if program is None:
        assert not os.environ.get("CI"), f"CI needs Chromium: {chromium.TO_INSTALL}"
        pytest.skip(f"the browser tests need Chromium on the PATH: {chromium.TO_INSTALL}")
    return program


@fixture(scope="session")
async def browser(chromium_program: str) -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_program, args=chromium.ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page's console and scripts complained of; a test removes what it provoked."""
    return []


@fixture()
async def start_server() -> AsyncIterator[StartServer]:
    """Starts servers of applications, and ends them with the test."""
    started: list[TestServer] = []

    async def start(app: web.Application, *, port: int | None = None) -> TestServer:
        started.append(TestServer(app, port=port))
        await started[-1].start_server()
        return started[-1]

    yield start
    for server in started:
        await server.close()


@fixture()
async def new_page(
    browser: Browser,
    complaints: list[str],
    start_server: StartServer,  # whose servers end after the pages, which would complain of it
) -> AsyncIterator[NewPage]:
    """Opens empty pages; errors, warnings and policy violations on any of them fail the test."""

    async def open_page(**context: Any) -> Page:
        page = await (await browser.new_context(**context)).new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    for context in browser.contexts:
        await context.close()
    assert complaints == []


@fixture()
async def page(new_page: NewPage) -> Page:
    """One empty page as Chromium opens it by default."""
    return await new_page()


@fixture()
async def redis(one_server: str) -> AsyncIterator[Redis]:
    """An empty Valkey."""
    async with open_everywhere(one_server) as client:
        await forget_everything(client)
        yield client
