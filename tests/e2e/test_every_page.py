"""Every page that we serve, in a real browser: on a phone and on a desk, light and dark, nothing is wrong with it.

No error or policy violation in its console, nothing wider than the screen, nothing that jumps while it loads, and
nothing serious or critical that axe finds. A page is one line of `PAGES`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiohttp
import pytest
from e2e.conftest import NewPage
from e2e.loop import fixture
from installation import Installation, installed
from playwright.async_api import Page, expect

pytestmark = pytest.mark.timeout(180)

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
LARGEST_SHIFT = 0.1
"""What Chromium's makers call good."""

SETTLE_MS = 300
"""What comes late comes within this: pages load from the same machine."""

LOADED_WITHIN_MS = 30_000
"""However much else the machine does: Swagger UI is a megabyte of script."""

AT_ONCE = 3


@dataclass(frozen=True)
class Served:
    """One page: whose it is, where, and what stands there once it has loaded.

    `who` is signed in to the console, and what is in `opens` is pressed first.
    """

    server: Literal["url", "admin_url", "sandbox_url"]
    path: str
    loaded: str
    who: Literal["", "admin_key", "account_token"] = ""
    opens: tuple[str, ...] = ()


_LIVE = "#status[data-live=live]"

PAGES = {
    "phone": Served("sandbox_url", "/?instance=demo", "#chats .chat"),
    "empty phone": Served("sandbox_url", "/?instance=nobody", "#hint:not(:empty)"),
    "reference": Served("url", "/docs", "#reference.ready .opblock"),
    "reference, opened": Served("url", "/docs#/Presence/sendPresence", "#reference.ready .opblock.is-open .execute"),
    "operator's reference, opened": Served(
        "admin_url",
        "/admin/docs",
        "#reference.ready .opblock",
        opens=("#operations-Chats-examineInstance .opblock-summary-control",),
    ),
    "operator's reference": Served("admin_url", "/admin/docs", "#reference.ready .opblock"),
    "sign-in": Served("admin_url", "/console", "#sign-in:not([hidden])"),
    "overview": Served("admin_url", "/console#/overview", _LIVE, "admin_key"),
    "overview, opened": Served(
        "admin_url",
        "/console#/overview",
        _LIVE,
        "admin_key",
        opens=(".chat:not(.failed) .head", ".chat.failed .head", ".chat.failed .actions button >> nth=2"),
    ),
    "accounts": Served("admin_url", "/console#/accounts", _LIVE, "admin_key"),
    "account": Served("admin_url", "/console#/accounts/{account}", _LIVE, "admin_key"),
    "audit": Served("admin_url", "/console#/audit", _LIVE, "admin_key"),
    "tenant's overview": Served("admin_url", "/console#/overview", _LIVE, "account_token"),
    "tenant's account": Served("admin_url", "/console#/accounts/{account}", _LIVE, "account_token"),
}

Scheme: TypeAlias = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

# Runs before the page's own scripts, and under no policy.
_WATCH = """(() => {
    if (sessionStorage.getItem("presence-console") === null && SIGNED_IN) {
        sessionStorage.setItem("presence-console", SIGNED_IN);
    }
    window.shifted = [];
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted.push(shift);
    }).observe({ type: "layout-shift", buffered: true });
    window.violated = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violated.push(event.violatedDirective));
})();"""

_LOOK = """() => ({
    wider: document.documentElement.scrollWidth - innerWidth,
    shift: window.shifted.reduce((sum, { value }) => sum + value, 0),
})"""

_HAS_TURNED = """(scheme) => matchMedia(`(prefers-color-scheme: ${scheme})`).matches
    && document.getAnimations().every((running) => !(running instanceof CSSTransition))"""

_EXAMINE = """async () => {
    const { violations } = await axe.run(document, { preload: false, resultTypes: ["violations"] });
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const where = (nodes) => nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" | ");
    return grave.map(({ id, nodes }) => `${id}: ${where(nodes)}`);
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("site")) as site:
        asyncio.run(live_on(site))
        yield site


async def live_on(site: Installation) -> None:
    """Let something show, end, and fail, so that no page is empty that could be full."""
    async with aiohttp.ClientSession(headers={"token": site.ready["account_token"]}) as http:

        async def command(number: str, state: str, duration: int = 0) -> int:
            body = {"number": number, "state": state, "duration": duration, "hold": duration > 60}
            async with http.post(f"{site.url}/api/chat/presence/demo", json=body) as answer:
                return answer.status

        assert await command("5511999999999", "typing", 600) == 200
        assert await command("4915112345678", "recording", 60) == 200
        assert await command("4915112345678", "pause") == 200
        fault = {"instance": "demo", "fault": "unauthorized", "count": 1}
        async with http.post(f"{site.sandbox_url}/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()
        assert await command("442071234567", "typing", 30) == 502


@fixture()
async def account(site: Installation) -> AsyncIterator[str]:
    async with (
        aiohttp.ClientSession(headers={"token": site.ready["account_token"]}) as http,
        http.get(f"{site.ready['admin_url']}/admin/session") as answer,
    ):
        yield (await answer.json())["account"]["id"]


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wrong_with_any_page(
    new_page: NewPage, site: Installation, account: str, width: int, complaints: list[str]
) -> None:
    async def examined(name: str) -> tuple[str, list[str]]:
        async with places:
            page = await new_page(viewport={"width": width, "height": 800}, color_scheme=SCHEMES[0])
            wrong = await examine(page, PAGES[name], site, account)
            await page.context.close()
            return name, wrong

    places = asyncio.Semaphore(AT_ONCE)
    found = dict(await asyncio.gather(*(examined(name) for name in PAGES)))
    complaints.clear()  # each is said of its page
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def examine(page: Page, served: Served, site: Installation, account: str) -> list[str]:
    """Open a page and say what is wrong with it."""
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    signed_in = site.ready[served.who] if served.who else ""
    await page.add_init_script(_WATCH.replace("SIGNED_IN", repr(signed_in)))
    await page.goto(str(site.ready[served.server]).rstrip("/") + served.path.format(account=account))
    await expect(page.locator(served.loaded).first).to_be_visible(timeout=LOADED_WITHIN_MS)
    for control in served.opens:
        await page.locator(control).first.click()
    await page.evaluate(AXE)
    wrong = [f"{scheme}, {found}" for scheme in SCHEMES for found in await look(page, scheme)]
    return wrong + said + [f"against its policy: {directive}" for directive in await page.evaluate("window.violated")]


async def look(page: Page, scheme: Scheme) -> list[str]:
    """Turn a loaded page to a colour scheme, and say what is wrong with it then."""
    await page.emulate_media(color_scheme=scheme)
    await page.wait_for_timeout(SETTLE_MS)
    await page.wait_for_function(_HAS_TURNED, arg=scheme)
    seen: dict[str, Any] = await page.evaluate(_LOOK)
    wrong = [f"axe: {found}" for found in await page.evaluate(_EXAMINE)]
    if seen["wider"] > 0:
        wrong.append(f"{seen['wider']} px wider than the screen")
    if seen["shift"] >= LARGEST_SHIFT:
        wrong.append(f"its layout shifts by {seen['shift']:.3f}")
    return wrong
