"""The sandbox's phone in a real browser: what a recipient sees follows what was told."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from e2e.conftest import NewPage, StartServer
from e2e.loop import fixture
from playwright.async_api import Locator, Page, expect

from gateway.presence.model import State
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.keys import PHONE
from gateway.sandbox.phone import Phone

CHAT = "5511999999999@s.whatsapp.net"


@pytest.fixture
def sandbox() -> web.Application:
    return create_sandbox()


@pytest.fixture
def phone(sandbox: web.Application) -> Phone:
    return sandbox[PHONE]


@fixture()
async def server(start_server: StartServer, sandbox: web.Application) -> TestServer:
    return await start_server(sandbox)


async def open_page(page: Page, server: TestServer, path: str = "/") -> None:
    await page.goto(str(server.make_url(path)))
    await expect(page.locator("[data-stream]")).to_have_attribute("data-stream", "live")


def indicator(page: Page, chat: str = CHAT) -> Locator:
    return page.locator(f'#chats [data-chat="{chat}"]')


def chips(page: Page, state: str, chat: str = CHAT) -> Locator:
    return page.locator(f'#lanes [data-chat="{chat}"] [data-state="{state}"]')


async def test_the_empty_phone_says_how_to_begin(page: Page, server: TestServer) -> None:
    await open_page(page, server)
    await expect(page.get_by_text("Send a presence and watch")).to_be_visible()
    await expect(page.locator("#hint")).to_contain_text(f"curl {server.make_url('/instances/demo/presence')}")
    await expect(page.locator("#axis")).to_be_hidden()


async def test_a_presence_appears_changes_and_goes(page: Page, server: TestServer, phone: Phone) -> None:
    await open_page(page, server)
    body = {"chat": CHAT, "state": "typing"}
    assert (await page.request.post(str(server.make_url("/instances/demo/presence")), data=body)).ok
    await expect(indicator(page)).to_have_attribute("data-state", "typing")
    await expect(indicator(page).get_by_text("typing…")).to_be_visible()
    await expect(page.get_by_text("Send a presence and watch")).to_be_hidden()

    phone.tell("demo", CHAT, State.RECORDING)
    await expect(indicator(page)).to_have_attribute("data-state", "recording")
    await expect(indicator(page).get_by_text("recording audio…")).to_be_visible()
    await expect(indicator(page).get_by_text("typing…")).to_have_count(0)

    phone.tell("demo", CHAT, State.PAUSED)
    await expect(indicator(page)).to_have_attribute("data-state", "paused")
    await expect(indicator(page)).to_contain_text(re.compile(r"last paused \d\d:\d\d:\d\d"))


async def test_a_message_that_is_sent_on_the_page_arrives_and_stays(
    page: Page, server: TestServer, phone: Phone
) -> None:
    await open_page(page, server)
    phone.tell("demo", CHAT, State.TYPING)
    await page.get_by_label("Message", exact=True).fill("<b>hello</b>")
    await page.get_by_role("button", name="Send").click()
    await expect(indicator(page).locator(".said")).to_have_text("<b>hello</b>")
    await expect(indicator(page)).to_have_attribute("data-state", "typing")  # nobody reported it to a gateway
    await expect(page.get_by_label("Message", exact=True)).to_have_value("")
    await page.reload()
    await expect(indicator(page).locator(".said")).to_have_text("<b>hello</b>")


async def test_a_message_to_no_number_is_refused_on_the_page(
    page: Page, server: TestServer, complaints: list[str]
) -> None:
    await open_page(page, server)
    await page.get_by_label("To", exact=True).fill("nobody")
    await page.get_by_label("Message", exact=True).fill("hello")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("alert")).to_contain_text("is that a number?")
    await expect(page.locator("#chats .chat")).to_have_count(0)
    # The browser itself reports the 400.
    assert "400" in complaints.pop()


async def test_a_screen_reader_is_told_each_change(page: Page, server: TestServer, phone: Phone) -> None:
    await open_page(page, server)
    announcer = page.locator("[aria-live=polite]")
    phone.tell("demo", CHAT, State.TYPING)
    await expect(announcer).to_have_text("+5511999999999: typing…")
    phone.tell("demo", CHAT, State.PAUSED)
    await expect(announcer).to_contain_text("+5511999999999: last paused")


async def test_the_timeline_and_the_log_show_refreshes_and_the_pause(
    page: Page,
    server: TestServer,
    phone: Phone,
) -> None:
    await open_page(page, server)
    for state in (State.TYPING, State.TYPING, State.RECORDING, State.PAUSED):
        phone.tell("demo", CHAT, state)
    await expect(chips(page, "typing")).to_have_count(2)
    await expect(chips(page, "recording")).to_have_count(1)
    await expect(chips(page, "paused")).to_be_visible()
    await expect(page.locator("#log .words")).to_have_text(
        [
            "stops recording audio after 0.0 s",
            "changes to recording audio",
            "still typing, refreshed after 0.0 s",
            "starts typing",
        ],
    )
    await expect(page.locator("#total")).to_have_text("4 calls")


async def test_a_page_opened_later_shows_what_was_told_before(page: Page, server: TestServer, phone: Phone) -> None:
    phone.tell("demo", CHAT, State.TYPING)
    phone.tell("demo", "120363041234567890@g.us", State.RECORDING)
    await open_page(page, server)
    await expect(page.locator("#chats .name")).to_have_text(["Group …567890", "+5511999999999"])
    await expect(chips(page, "typing")).to_have_count(1)


async def test_an_indicator_that_is_not_refreshed_goes_dark(page: Page, server: TestServer, phone: Phone) -> None:
    await page.clock.install()
    await open_page(page, server)
    phone.tell("demo", CHAT, State.TYPING)
    await expect(indicator(page)).to_have_attribute("data-state", "typing")
    await page.clock.fast_forward(20_000)
    await expect(indicator(page)).to_have_attribute("data-state", "typing")
    await page.clock.fast_forward(5_000)
    await expect(indicator(page)).to_have_attribute("data-state", "dark")
    await expect(indicator(page)).to_contain_text("(dark)")


async def test_chips_leave_the_timeline_after_seventy_seconds(page: Page, server: TestServer, phone: Phone) -> None:
    await page.clock.install()
    await open_page(page, server)
    phone.tell("demo", CHAT, State.PAUSED)
    await expect(chips(page, "paused")).to_have_count(1)
    await page.clock.fast_forward(72_000)
    await expect(chips(page, "paused")).to_have_count(0)
    await expect(page.get_by_text("Nothing was told in the last 70 seconds.")).to_be_visible()


async def test_a_phone_is_one_instances_and_links_to_the_others(page: Page, server: TestServer, phone: Phone) -> None:
    phone.tell("demo", CHAT, State.TYPING)
    await open_page(page, server)
    phone.tell("shop", "4915112345678@s.whatsapp.net", State.RECORDING)
    await page.get_by_role("link", name="shop").click()
    await expect(page.locator("#owner")).to_have_text("shop")
    await expect(page.get_by_role("link", name="shop")).to_have_attribute("aria-current", "page")
    await expect(indicator(page, "4915112345678@s.whatsapp.net")).to_have_attribute("data-state", "recording")
    await expect(indicator(page)).to_have_count(0)


async def test_an_unasked_empty_phone_becomes_whoever_speaks_first(
    page: Page,
    server: TestServer,
    phone: Phone,
) -> None:
    await open_page(page, server)
    await expect(page.locator("#owner")).to_have_text("demo")
    phone.tell("shop", CHAT, State.TYPING)
    await expect(page.locator("#owner")).to_have_text("shop")
    await expect(indicator(page)).to_have_attribute("data-state", "typing")


async def test_the_page_comes_back_after_the_server_restarts(
    page: Page,
    server: TestServer,
    start_server: StartServer,
    complaints: list[str],
) -> None:
    await open_page(page, server)
    port = server.port
    await server.close()
    await expect(page.locator("[data-stream]")).to_have_attribute("data-stream", "lost")
    restarted = create_sandbox()
    restarted[PHONE].tell("demo", CHAT, State.TYPING)
    await start_server(restarted, port=port)
    await expect(page.locator("[data-stream]")).to_have_attribute("data-stream", "live", timeout=15_000)
    await expect(indicator(page)).to_have_attribute("data-state", "typing")
    # The browser reports that nobody listened while the server was away; that is what this test is about.
    complaints[:] = [said for said in complaints if "ERR_CONNECTION_REFUSED" not in said]


async def test_the_policy_is_enforced_and_a_breach_is_noticed(
    page: Page,
    server: TestServer,
    complaints: list[str],
) -> None:
    await open_page(page, server)
    await page.evaluate("document.body.setAttribute('style', 'color: red')")
    await expect(page.locator("body")).not_to_have_css("color", "rgb(255, 0, 0)")
    assert "Content Security Policy" in complaints.pop()


async def test_names_are_shown_as_text_never_as_markup(page: Page, server: TestServer, phone: Phone) -> None:
    phone.tell("<b>demo</b>", "<img/src=x>@g.us", State.TYPING)
    await open_page(page, server)
    await expect(page.locator("#owner")).to_have_text("<b>demo</b>")
    await expect(page.locator("#chats img, #log img, #lanes img")).to_have_count(0)


async def test_reduced_motion_is_respected(new_page: NewPage, server: TestServer, phone: Phone) -> None:
    page = await new_page(reduced_motion="reduce")
    phone.tell("demo", CHAT, State.TYPING)
    await open_page(page, server)
    moving = "dot => getComputedStyle(dot).animationName"
    assert await indicator(page).locator(".dots i").first.evaluate(moving) == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_wider_than_a_small_screen(
    new_page: NewPage,
    server: TestServer,
    phone: Phone,
    scheme: str,
) -> None:
    page = await new_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    phone.tell("demo", CHAT, State.TYPING)
    await open_page(page, server)
    await expect(indicator(page)).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
