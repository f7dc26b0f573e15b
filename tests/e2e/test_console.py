"""The console in a real browser: what an operator and a tenant see and do."""

import json
import re
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from e2e.conftest import NewPage, StartServer
from e2e.loop import fixture
from e2e.office import OPERATOR_KEY, Office, Opened
from playwright.async_api import Locator, Page, Route, expect
from redis.asyncio import Redis as AsyncRedis

from gateway.api.admin.app import create_admin
from gateway.api.console.routes import add_console
from gateway.presence.model import State
from gateway.settings import Redis, Secrets, Settings
from gateway.store import keys
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.probes import create_ops
from gateway.upstreams.registry import ADAPTERS
from gateway.wiring import Services, open_services

CHAT = "5511999999999@s.whatsapp.net"
MARKUP = "<img src=x onerror=alert(1)>"


@fixture()
async def services(redis: AsyncRedis, one_server: str) -> AsyncIterator[Services]:
    secrets = Secrets(pepper="p", admin_key=OPERATOR_KEY)
    async with open_services(Settings(redis=Redis(url=one_server), secrets=secrets)) as services:
        yield services


@fixture()
async def office(start_server: StartServer, services: Services) -> Office:
    states: dict[str, str] = {}

    told: list[dict[str, str]] = []

    async def say(request: web.Request) -> web.Response:
        return web.json_response({"state": states[request.match_info["instance"]]})

    async def tell(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.json_response({"ok": True})

    upstream = web.Application()
    upstream.router.add_get("/instances/{instance}", say)
    upstream.router.add_post("/instances/{instance}/presence", tell)
    return Office(services, str((await start_server(upstream)).make_url("")).rstrip("/"), states, told)


@fixture()
async def server(start_server: StartServer, services: Services) -> TestServer:
    gauges = Gauges(services.health.look, services.upstreams.count_open_circuits)
    app = create_ops("gateway", services.store_answers, gauges.refresh)
    app.add_subapp("/admin/", create_admin(services))
    add_console(app)
    return await start_server(app)


@fixture()
async def acme(office: Office) -> Opened:
    return await office.open_account("acme")


async def sign_in(page: Page, server: TestServer, credential: str = OPERATOR_KEY) -> None:
    await page.goto(str(server.make_url("/console")))
    await page.get_by_label("Key or token").fill(credential)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await expect(page.locator("#status")).to_have_text("Live")


async def open_account(page: Page, server: TestServer, credential: str = OPERATOR_KEY) -> None:
    await sign_in(page, server, credential)
    if credential == OPERATOR_KEY:
        await page.get_by_role("link", name="Accounts").click()
        await page.get_by_role("link", name="acme").click()
    else:
        await page.get_by_role("link", name="Account", exact=True).click()
    await expect(page.get_by_role("heading", name="acme")).to_be_visible()


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


async def take_secret(page: Page) -> str:
    secret = await page.locator("#secret[open] input").input_value()
    await dialog(page).get_by_role("button", name="I have stored it").click()
    await expect(dialog(page)).to_have_count(0)
    return secret


async def cut(page: Page) -> None:
    async def lose(route: Route) -> None:
        await route.abort()

    await page.route("**/admin/**", lose)


def forgive(complaints: list[str], reason: str) -> None:
    complaints[:] = [said for said in complaints if reason not in said]


async def test_a_page_is_served_under_a_strict_policy_and_kept_by_nobody(server: TestServer, page: Page) -> None:
    for path in ("/console", "/console/", "/console/console.js", "/console/console.css", "/console/shared.css"):
        answer = await page.request.get(str(server.make_url(path)), max_redirects=0)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


async def test_a_wrong_key_is_refused_in_words_and_the_right_one_opens(
    page: Page, server: TestServer, complaints: list[str]
) -> None:
    await page.goto(str(server.make_url("/console")))
    await expect(page.get_by_label("Key or token")).to_be_focused()
    for wrong in ("wrong", "ключ"):
        await page.get_by_label("Key or token").fill(wrong)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#refused")).to_contain_text("Not accepted")
    forgive(complaints, "401")
    await sign_in(page, server)


async def test_the_credential_lives_in_the_tab_and_goes_with_the_sign_out(page: Page, server: TestServer) -> None:
    await sign_in(page, server)
    await page.reload()
    await expect(page.locator("#who")).to_have_text("Operator")
    assert await page.context.cookies() == []
    assert await page.evaluate("localStorage.length") == 0
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Key or token")).to_be_focused()
    assert await page.evaluate("sessionStorage.length") == 0
    assert OPERATOR_KEY not in await page.content()


async def test_a_token_revoked_meanwhile_signs_out(
    page: Page, server: TestServer, office: Office, acme: Opened, complaints: list[str]
) -> None:
    await sign_in(page, server, acme.token)
    await office.revoke(acme.token_id)
    await expect(page.locator("#refused")).to_have_text("That key or token is no longer accepted.")
    forgive(complaints, "401")


async def test_an_indicator_appears_counts_down_and_goes(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await sign_in(page, server)
    await expect(page.get_by_text("Nobody is typing right now, and nothing was told lately.")).to_be_visible()
    await office.show(acme.id, "sales", CHAT, state=State.RECORDING, ends_in_s=30)
    row = page.locator(".chat")
    await expect(row).to_contain_text("+55 ••• 9999")
    await expect(row).to_contain_text("recording audio")
    await expect(row).to_contain_text("acme / sales")
    first = await row.locator(".left").inner_text()
    assert re.fullmatch(r"\d+\.\d s left", first)
    await expect(row.locator(".left")).not_to_have_text(first)
    await office.pause_all()
    await expect(row).to_contain_text(re.compile(r"recording audio for \d+\.\d s, ended by a pause"))
    await expect(row.locator(".left")).to_have_text("just now")
    await expect(row.locator(".dots")).to_be_hidden()
    await expect(row.locator(".lane i[data-state=recording]")).to_have_count(1)


async def test_a_chat_opens_to_what_it_was_told_in_words(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.show(acme.id, "sales", CHAT, ends_in_s=30)
    await office.pause_all()
    await office.fail(acme.id, "sales", CHAT, "not_connected")
    await sign_in(page, server)
    row = page.locator(".chat")
    reason = "typing came to nothing: the session is not connected to WhatsApp"
    await expect(row.locator(".doing")).to_have_text(reason)
    await expect(row.locator(".told")).to_be_hidden()
    await row.get_by_role("button", name="+55 ••• 9999").focus()
    await page.keyboard.press("Enter")
    await expect(row.locator(".head")).to_have_attribute("aria-expanded", "true")
    told = row.locator(".told li")
    await expect(told).to_have_count(2)
    await expect(told.first).to_contain_text(reason)
    await expect(told.last).to_contain_text(re.compile(r"typing for 0\.\d s, ended by a pause.*asked for 30 s"))
    await page.keyboard.press("Enter")
    await expect(row.locator(".told")).to_be_hidden()


async def test_a_number_is_shown_to_whoever_asks_and_that_is_in_the_audit(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.show(acme.id, "sales", CHAT, ends_in_s=60)
    await sign_in(page, server)
    await expect(page.locator(".chat")).to_have_count(1)
    assert "5511999999999" not in await page.content()
    await page.locator(".chat .head").click()
    await page.get_by_role("button", name="Show the number of chat +55 ••• 9999").click()
    await expect(page.locator(".head b")).to_have_text("+5511999999999")
    await page.get_by_role("button", name="Hide the number").click()
    await expect(page.locator(".head b")).to_have_text("+55 ••• 9999")
    await page.get_by_role("link", name="Audit").click()
    await expect(page.locator(".entry").first).to_contain_text("chat.number")
    assert "5511999999999" not in await page.content()


async def test_a_chat_is_paused_by_hand(page: Page, server: TestServer, office: Office, acme: Opened) -> None:
    await office.show(acme.id, "sales", CHAT, ends_in_s=60)
    await sign_in(page, server)
    await page.locator(".chat .head").click()
    pause = page.get_by_role("button", name="Pause now chat")
    await pause.click()
    await expect(page.locator(".chat .doing")).to_contain_text("ended by a pause")
    await expect(pause).to_have_attribute("aria-disabled", "true")
    await expect(page.locator("#announcer")).to_have_text("Paused chat +55 ••• 9999")
    assert [told["state"] for told in office.told] == ["paused"]


async def test_why_a_presence_did_not_show_is_answered_beside_it(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.add_instance(acme.id, "sales", "disconnected")
    await office.fail(acme.id, "sales", CHAT, "not_connected")
    await sign_in(page, server)
    await page.locator(".chat .head").click()
    await page.get_by_role("button", name="Why did it not show?").click()
    await expect(page.locator(".answer")).to_have_text("It ends at “session connected”: disconnected.")
    await expect(page.locator(".findings li", has_text="credential accepted")).to_contain_text("well")


async def test_who_fails_and_why_is_told_first_and_that_it_is_over(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await sign_in(page, server)
    needs = page.get_by_role("region", name="Needs attention")
    await expect(needs).to_contain_text("no worker runs")
    instance = await office.add_instance(acme.id, "sales")
    await office.say_trouble(instance, "unauthorized", failed=12, is_open=True)
    trouble = needs.locator(".trouble")
    await expect(trouble).to_contain_text("acme / sales")
    await expect(trouble).to_contain_text("the upstream refuses the credential")
    await expect(trouble).to_contain_text("12 calls failed since")
    await expect(trouble.locator(".title .chip")).to_have_text("failing, left alone")
    await expect(page.locator(".tile.alarm dt").first).to_have_text("Failing upstreams")
    await trouble.get_by_role("button", name="Examine instance sales").click()
    await expect(trouble.locator(".answer")).to_contain_text("Nothing is wrong as far as the upstream")
    await office.say_trouble(instance, "unauthorized", failed=12, ok_s=time.time())
    await expect(trouble.locator(".title .chip")).to_contain_text("well since")
    await expect(page.locator(".tile .value").first).to_have_text("0")


async def test_a_chat_is_found_by_its_number_its_end_or_its_instance(
    page: Page, server: TestServer, office: Office, acme: Opened, complaints: list[str]
) -> None:
    await office.show(acme.id, "sales", CHAT, ends_in_s=60)
    await office.show(acme.id, "desk", "4915112345678@s.whatsapp.net", ends_in_s=60)
    await sign_in(page, server)
    await expect(page.locator(".chat")).to_have_count(2)
    for wanted, found in (("+55 11 99999-9999", "acme / sales"), ("5678", "acme / desk"), ("SALES", "acme / sales")):
        await page.get_by_label("Find a chat").fill(wanted)
        await page.keyboard.press("Enter")
        await expect(page.locator(".chat")).to_have_count(1)
        await expect(page.locator(".chat")).to_contain_text(found)
    await page.get_by_label("Find a chat").fill("nobody@nowhere")
    await page.keyboard.press("Enter")
    await expect(page.locator(".search .refused")).to_have_text("Invalid number")
    forgive(complaints, "400")
    await page.get_by_label("Find a chat").fill("")
    await expect(page.locator(".chat")).to_have_count(2)


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_jumps_while_indicators_come_and_go(
    page: Page, server: TestServer, office: Office, acme: Opened, width: int
) -> None:
    """What makes room for what came glides there, which is no shift to Chromium."""
    await page.set_viewport_size({"width": width, "height": 800})
    await office.show(acme.id, "sales", CHAT, ends_in_s=60)
    await sign_in(page, server)
    await page.evaluate(
        "window.shifts = []; new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))"
        ".observe({ type: 'layout-shift' })"
    )
    instance = await office.add_instance(acme.id, "desk")
    for number in range(4):
        await office.show(acme.id, "sales", f"491511234567{number}@s.whatsapp.net", ends_in_s=60)
        await expect(page.locator(".chat")).to_have_count(2 + number)
    await office.say_trouble(instance, "unauthorized", failed=1)
    await expect(page.locator(".trouble")).to_have_count(1)
    await office.pause_all()
    await expect(page.locator(".chat .dots:visible")).to_have_count(0)
    assert await page.evaluate("window.shifts.reduce((sum, { value }) => sum + value, 0)") < 0.01


async def test_a_countdown_follows_the_gateways_clock_not_the_browsers(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await page.clock.install(time=time.time() + 3600)
    await office.show(acme.id, "sales", CHAT, ends_in_s=40)
    await sign_in(page, server)
    await expect(page.locator(".left")).to_have_text(re.compile(r"(3[6-9]|4[01])\.\d s left"))


async def test_pauses_owed_and_how_late_they_are_stand_out(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.show(acme.id, "sales", CHAT)
    await office.show(acme.id, "sales", "4915112345678@s.whatsapp.net", overdue_s=12.0)
    await sign_in(page, server)
    await expect(page.locator(".tile .value")).to_have_text(["0", re.compile(r"^1\d s$"), "2", "2"])
    late = page.locator(".chat").first
    await expect(late).to_contain_text(re.compile(r"1\d s late"))
    await expect(late).to_contain_text("its pause is late: no worker runs")


async def test_a_bar_tells_how_much_of_the_limit_is_used(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    crm = await office.add_token(acme.id, "crm")
    await office.use(crm, 84)
    await sign_in(page, server)
    await expect(page.get_by_role("meter", name="Requests this minute of crm")).to_have_attribute("aria-valuenow", "84")
    await expect(page.locator(".bars")).to_contain_text("84 of 100")


async def test_the_overview_can_be_one_accounts(page: Page, server: TestServer, office: Office, acme: Opened) -> None:
    other = await office.open_account("other")
    await office.show(acme.id, "sales", CHAT)
    await office.show(other.id, "desk", "4915112345678@s.whatsapp.net")
    await sign_in(page, server)
    await expect(page.locator(".chat")).to_have_count(2)
    await page.get_by_label("Account", exact=True).select_option("other")
    await expect(page.locator(".chat .name.soft")).to_have_text(["other / desk"])


async def test_an_account_is_created_limited_suspended_resumed_and_deleted(
    page: Page, server: TestServer, office: Office, complaints: list[str]
) -> None:
    await sign_in(page, server)
    await page.get_by_role("link", name="Accounts").click()
    await page.get_by_role("button", name="New account").click()
    await dialog(page).get_by_label("Name").fill("acme")
    await dialog(page).get_by_label("Requests a minute").fill("600")
    await page.keyboard.press("Enter")
    assert (await take_secret(page)).startswith("pga_")
    row = page.locator("[data-account]")
    await expect(row).to_contain_text("600 requests/min")

    await page.get_by_role("button", name="New account").click()
    await dialog(page).get_by_label("Name").fill("acme")
    await page.keyboard.press("Enter")
    await expect(dialog(page).get_by_role("alert")).to_have_text("Account already exists")
    await page.keyboard.press("Escape")
    forgive(complaints, "409")

    await page.get_by_role("button", name="Limits of account acme").click()
    await dialog(page).get_by_label("Requests a minute").fill("700")
    await page.keyboard.press("Enter")
    await expect(row).to_contain_text("700 requests/min")
    for verb, then in (("Suspend", "suspended"), ("Resume", "active")):
        await page.get_by_role("button", name=f"{verb} account acme").click()
        await dialog(page).get_by_role("button", name=f"{verb} account").click()
        await expect(row.locator(".chip")).to_have_text(then)

    await page.get_by_role("button", name="Delete account acme").click()
    await dialog(page).get_by_label("Type the account's name").fill("acne")
    await page.keyboard.press("Enter")
    assert await office.accounts()
    await dialog(page).get_by_label("Type the account's name").fill("acme")
    await page.keyboard.press("Enter")
    await expect(row).to_have_count(0)
    await expect(page.locator("#view h1")).to_be_focused()
    assert not await office.accounts()


async def test_a_token_is_issued_rotated_and_revoked_and_shown_once(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_account(page, server)
    await page.get_by_role("button", name="New token").click()
    await dialog(page).get_by_label("What is it for?").fill("crm")
    await page.keyboard.press("Enter")
    await dialog(page).get_by_role("button", name="Copy").click()
    await expect(dialog(page)).to_contain_text("Copied.")
    issued = await take_secret(page)
    assert await page.evaluate("navigator.clipboard.readText()") == issued
    assert await page.locator("#secret-value").input_value() == ""

    await page.get_by_role("button", name="Rotate token crm").click()
    await dialog(page).get_by_label("The old token works for").select_option("one more hour")
    await dialog(page).get_by_role("button", name="Rotate token").click()
    assert await take_secret(page) != issued
    old = page.locator("[data-token]", has_text="works until")
    await old.get_by_role("button", name="Revoke token crm").click()
    await dialog(page).get_by_role("button", name="Revoke token").click()
    await expect(old).to_have_count(0)
    assert not await office.is_valid(issued)


async def test_who_rotates_the_token_they_are_signed_in_with_stays_signed_in(
    page: Page, server: TestServer, acme: Opened
) -> None:
    await open_account(page, server, acme.token)
    await expect(page.get_by_text("signed in with this")).to_be_visible()
    await page.get_by_role("button", name="Rotate token first").click()
    await dialog(page).get_by_role("button", name="Rotate token").click()
    assert await take_secret(page) != acme.token
    await expect(page.get_by_text("signed in with this")).to_be_visible()
    await expect(page.locator("#status")).to_have_text("Live")


async def test_an_instance_is_created_shown_with_its_connection_rotated_and_deleted(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.add_instance(acme.id, "old", "loggedout")
    await open_account(page, server)
    await expect(page.locator("[data-instance]", has_text="old").locator(".chip")).to_have_text("logged out")
    await page.get_by_role("button", name="New instance").click()
    await expect(dialog(page).get_by_label("Its address")).to_be_hidden()
    await dialog(page).get_by_label("Name").fill("sales")
    await dialog(page).get_by_label("Upstream").select_option("waha")
    await dialog(page).get_by_label("Its address").fill("https://wa.example.com")
    await dialog(page).get_by_role("button", name="Create instance").click()
    assert (await take_secret(page)).startswith("pgi_")
    await expect(page.locator("[data-instance]", has_text="sales")).to_contain_text("waha · https://wa.example.com")
    await page.get_by_role("button", name="New token for instance sales").click()
    await dialog(page).get_by_role("button", name="Rotate token").click()
    assert (await take_secret(page)).startswith("pgi_")
    await page.get_by_role("button", name="Delete instance sales").click()
    await dialog(page).get_by_label("Type the instance's name").fill("sales")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-instance]", has_text="sales")).to_have_count(0)


async def test_every_kind_of_upstream_can_be_chosen(page: Page, server: TestServer, acme: Opened) -> None:
    await open_account(page, server)
    await page.get_by_role("button", name="New instance").click()
    kinds = await dialog(page).get_by_label("Upstream").locator("option").all_inner_texts()
    assert kinds == ["the default", *(adapter.name for adapter in ADAPTERS.values())]


async def test_the_kinds_are_those_that_the_gateway_lists(page: Page, server: TestServer, acme: Opened) -> None:
    listed = {"success": True, "upstreams": [{"kind": "pigeon", "name": "Carrier Pigeon"}]}
    await page.route("**/admin/upstreams", lambda route: route.fulfill(json=listed))
    await open_account(page, server)
    await page.get_by_role("button", name="New instance").click()
    await dialog(page).get_by_label("Upstream").select_option("pigeon")
    await expect(dialog(page).get_by_label("Upstream").locator("option:checked")).to_have_text("Carrier Pigeon")


async def test_a_tenant_sees_and_does_only_what_is_theirs(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    other = await office.open_account("other")
    await office.show(other.id, "desk", CHAT)
    await open_account(page, server, acme.token)
    await expect(page.locator("#nav a")).to_have_text(["Overview", "Account"])
    await expect(page.get_by_role("button", name="Suspend")).to_have_count(0)
    for address in ("#/accounts", "#/audit"):
        await page.evaluate("where => { location.hash = where }", address)
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        await expect(page.locator(".chat")).to_have_count(0)


async def test_the_focus_goes_to_where_one_has_come(page: Page, server: TestServer) -> None:
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Overview")).to_be_focused()
    await page.get_by_role("link", name="Accounts").click()
    await expect(page.get_by_role("heading", name="Accounts")).to_be_focused()


async def test_the_audit_lists_the_latest_first(page: Page, server: TestServer, office: Office, acme: Opened) -> None:
    await office.add_token(acme.id, "crm")
    await sign_in(page, server)
    await page.get_by_role("link", name="Audit").click()
    await expect(page.locator(".entry").first).to_contain_text(re.compile(r"token\.issue.*crm"))
    await expect(page.locator(".entry").first).to_contain_text("by operator")


async def test_what_cannot_be_refreshed_is_marked_until_it_can(
    page: Page, server: TestServer, complaints: list[str]
) -> None:
    await sign_in(page, server)
    await cut(page)
    banner = page.locator("#stale")
    await expect(banner).to_contain_text(re.compile(r"cannot be reached.*is from \d\d:\d\d:\d\d"))
    await page.unroute("**/admin/**")
    await expect(banner).to_be_hidden()
    await expect(page.locator("#status")).to_have_text("Live")
    forgive(complaints, "ERR_FAILED")


async def test_a_hidden_tab_asks_nothing(page: Page, server: TestServer) -> None:
    await sign_in(page, server)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await page.wait_for_timeout(2500)
    assert asked == []
    await page.evaluate(
        "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))",
    )
    await page.wait_for_timeout(300)
    assert asked != []


async def test_nothing_that_the_api_says_is_read_as_markup(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    sales = await office.add_instance(acme.id, "sales", url="javascript:alert(1)", session=MARKUP)
    shown = await office.show(acme.id, "sales", f"{MARKUP}@g.us")
    await office.use(acme.token_id, 1)
    await office.write(keys.record(sales.id, shown.chat.jid), state=MARKUP)
    await office.write(keys.account(acme.id), name=MARKUP, status=MARKUP)
    await office.write(keys.instance(sales.id), name=MARKUP, version=MARKUP)
    for token in await office.services.directory.tokens(acme.id):
        await office.write(keys.token(token.hash), name=MARKUP, prefix=MARKUP, kind=MARKUP)
    await office.note(MARKUP)
    await sign_in(page, server)
    for address in ("#/overview", "#/accounts", f"#/accounts/{acme.id}", "#/audit"):
        await page.evaluate("where => { location.hash = where }", address)
        await expect(page.locator("#view:not(.loading) .name", has_text=MARKUP).first).to_be_visible()
        assert await page.locator("#view :is(img, script, [href^=javascript])").count() == 0


async def test_a_breach_of_the_policy_is_noticed(page: Page, server: TestServer, complaints: list[str]) -> None:
    await sign_in(page, server)
    await page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert "Content Security Policy" in complaints.pop()


async def test_every_control_has_a_name_and_the_keyboard_reaches_all_and_leaves(
    page: Page, server: TestServer, office: Office, acme: Opened
) -> None:
    await office.add_instance(acme.id, "sales")
    await open_account(page, server)
    nameless = """[...document.querySelectorAll("input, select, button, a")]
        .filter((one) => one.checkVisibility() && !one.labels?.length && !one.textContent.trim())
        .map((one) => one.outerHTML)"""
    assert await page.evaluate(nameless) == []
    await page.get_by_role("button", name="New instance").click()
    assert await page.evaluate(nameless) == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="New instance")).to_be_focused()

    await page.reload()
    await expect(page.locator("[data-instance]")).to_have_count(1)
    reached = []
    for _ in range(30):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.textContent.trim()"))
        if document_end(reached):
            break
    order = ["Skip to the content", "Overview", "Accounts", "Audit", "Sign out", "Limits of account acme"]
    assert reached[:6] == order
    assert "Delete instance sales" in reached
    assert "Revoke token first" in reached


def document_end(reached: list[str]) -> bool:
    return len(reached) > 1 and reached[-1] == reached[0]


async def test_the_skip_link_leads_past_the_navigation(page: Page, server: TestServer) -> None:
    await sign_in(page, server)
    await page.reload()
    await expect(page.locator("#status")).to_have_text("Live")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("/console")


async def test_a_dialog_keeps_the_focus(page: Page, server: TestServer) -> None:
    await sign_in(page, server)
    await page.get_by_role("link", name="Accounts").click()
    await page.get_by_role("button", name="New account").click()
    for _ in range(12):
        await page.keyboard.press("Tab")
        assert await page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )


async def test_polls_leave_the_focus_where_it_is(page: Page, server: TestServer, office: Office, acme: Opened) -> None:
    await sign_in(page, server)
    await page.get_by_role("link", name="Accounts").click()
    await page.get_by_role("button", name="Suspend account acme").focus()
    await office.open_account("aaa")
    await expect(page.locator("[data-account]")).to_have_count(2)
    await expect(page.get_by_role("button", name="Suspend account acme")).to_be_focused()


async def test_reduced_motion_is_respected(new_page: NewPage, server: TestServer, office: Office, acme: Opened) -> None:
    page = await new_page(reduced_motion="reduce")
    await office.show(acme.id, "sales", CHAT)
    await sign_in(page, server)
    moving = "dot => getComputedStyle(dot).animationName"
    assert await page.locator(".dots i").first.evaluate(moving) == "none"


async def test_nothing_is_wider_than_a_small_screen(
    new_page: NewPage, server: TestServer, office: Office, acme: Opened
) -> None:
    page = await new_page(viewport={"width": 320, "height": 640})
    long = "a" * 100
    other = await office.open_account(long, token_name=long)
    await office.add_instance(other.id, long, url=f"https://{long}.example.com", session=long)
    await office.show(other.id, long, f"{'1' * 25}@g.us")
    await sign_in(page, server)
    for address in ("#/overview", "#/accounts", f"#/accounts/{other.id}", "#/audit"):
        await page.evaluate("where => { location.hash = where }", address)
        await expect(page.locator("#view:not(.loading) h1")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320


async def test_every_module_is_fetched_at_once(page: Page, server: TestServer) -> None:
    await page.goto(str(server.make_url("/console")))
    listed = await page.evaluate(
        "[...document.querySelectorAll('script, [rel=modulepreload]')].map((one) => one.src || one.href)"
    )
    loaded = await page.evaluate(
        "performance.getEntriesByType('resource').map((one) => one.name).filter((name) => name.endsWith('.js'))"
    )
    assert json.dumps(sorted(set(listed))) == json.dumps(sorted(set(loaded)))
