"""The API reference in a real browser: on both ports, on every screen, and tried against a running gateway."""

import re
from collections.abc import Iterator

import pytest
from e2e.conftest import NewPage
from installation import Installation, installed
from playwright.async_api import Page, Route, expect

pytestmark = pytest.mark.timeout(120)

PHONE = "#chats [data-chat='5511999999999@s.whatsapp.net']"
OPERATIONS = {"": 8, "/admin": 27}
OPEN_SOME = "controls => controls.slice(0, 5).forEach((one) => one.click())"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("reference")) as site:
        yield site


def address(site: Installation, prefix: str) -> str:
    return f"{site.ready['admin_url'] if prefix else site.url}{prefix}/docs"


@pytest.mark.parametrize("prefix", ["", "/admin"])
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
async def test_each_port_has_its_own_which_fits_the_screen_and_asks_nobody_else(
    new_page: NewPage, site: Installation, prefix: str, width: int, scheme: str
) -> None:
    page = await new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(address(site, prefix))
    await expect(page.locator(".opblock")).to_have_count(OPERATIONS[prefix])
    await expect(page.locator(".opblock").first).to_be_visible()
    await page.locator(".opblock-summary-control").evaluate_all(OPEN_SOME)
    await expect(page.locator(".opblock.is-open .execute")).to_have_count(5)
    await expect(page.locator("#reference")).not_to_contain_text("`")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.evaluate("document.documentElement.classList.contains('dark-mode')") == (scheme == "dark")
    origin = address(site, prefix).removesuffix(f"{prefix}/docs")
    assert [url for url in asked if not url.startswith((f"{origin}/", "data:"))] == []


async def test_the_link_that_the_runner_prints_is_one_press_away_from_typing_on_the_phone(
    new_page: NewPage, site: Installation
) -> None:
    phone, page = await new_page(), await new_page()
    await phone.goto(str(site.ready["sandbox_url"]) + "/?instance=demo")
    (link,) = re.findall(r"^ *API reference +(\S+)", site.out, re.MULTILINE)
    await page.goto(link)
    first = page.locator(".opblock.is-open")
    await first.get_by_role("button", name="Execute").click()
    answer = first.locator(".live-responses-table")
    await expect(answer.locator("tbody .response-col_status")).to_have_text("200")
    await expect(answer).to_contain_text("Presence 'typing' sent successfully (will auto-pause after 5 seconds)")
    await expect(phone.locator(PHONE)).to_have_attribute("data-state", "typing")
    assert "token" not in page.url
    assert (
        await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
    )


async def test_another_example_can_be_chosen_and_changed(page: Page, site: Installation) -> None:
    await page.goto(f"{address(site, '')}#token={site.ready['account_token']}&instance=demo")
    first = page.locator(".opblock.is-open")
    await first.get_by_label("Example").first.select_option("Recording, held until the message")
    body = first.get_by_label("Body")
    await expect(body).to_have_value(re.compile("hold"))
    await body.fill('{"number": "4915112345678", "state": "recording", "hold": true, "duration": 1}')
    await first.get_by_role("button", name="Execute").click()
    await expect(first.locator(".live-responses-table")).to_contain_text("4915112345678@s.whatsapp.net")


async def test_a_link_signs_nobody_in_on_another_machine(page: Page, site: Installation) -> None:
    async def pass_on(route: Route) -> None:
        url = route.request.url.replace("http://gateway.example", site.url)
        await route.fulfill(response=await route.fetch(url=url))

    await page.route("http://gateway.example/**", pass_on)
    await page.goto(f"http://gateway.example/docs#token={site.ready['account_token']}&instance=theirs")
    first = page.locator(".opblock.is-open")
    await expect(first.get_by_placeholder("instance")).to_have_value("demo")
    await expect(page.locator(".btn.authorize")).to_have_class(re.compile("unlocked"))
    assert "token" not in page.url


async def test_the_operators_is_tried_with_a_key_or_token_that_is_typed_in(page: Page, site: Installation) -> None:
    await page.goto(address(site, "/admin"))
    await page.get_by_role("button", name="Authorize").click()
    await page.get_by_label("Value:").first.fill(str(site.ready["admin_key"]))
    await page.get_by_role("button", name="Apply credentials").first.click()
    await page.get_by_role("button", name="Close").last.click()
    await page.locator("#operations-Accounts-listAccounts .opblock-summary-control").click()
    listing = page.locator(".opblock.is-open")
    await listing.get_by_role("button", name="Execute").click()
    await expect(listing.locator(".live-responses-table tbody .response-col_status")).to_have_text("200")
    await expect(listing.locator(".live-responses-table")).to_contain_text('"demo"')
