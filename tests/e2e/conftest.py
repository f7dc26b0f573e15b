"""A real browser, driven by Playwright; a page that complains fails its test."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import chromium
import pytest
from playwright.async_api import Browser, Page, async_playwright

NewPage: TypeAlias = Callable[..., Awaitable[Page]]


@pytest.fixture
def chromium_program() -> str:
    """The path of a Chromium."""
    program = chromium.find_chromium()
    if program is None:
        assert not os.environ.get("CI"), f"CI needs Chromium: {chromium.TO_INSTALL}"
        pytest.skip(f"the browser tests need Chromium on the PATH: {chromium.TO_INSTALL}")
    return program


@pytest.fixture
async def browser(chromium_program: str) -> AsyncIterator[Browser]:
    """A headless Chromium of this test's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_program, args=chromium.ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page's console and scripts complained of; a test removes what it provoked."""
    return []


@pytest.fixture
async def new_page(browser: Browser, complaints: list[str]) -> AsyncIterator[NewPage]:
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


@pytest.fixture
async def page(new_page: NewPage) -> Page:
    """One empty page as Chromium opens it by default."""
    return await new_page()
