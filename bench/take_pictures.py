"""Takes the README's pictures of the phone and the console, while two indicators show and when they have ended.

    make pictures

The pages are the real ones, of a `presence-gateway dev` that is started for it, in Chromium: typing for five seconds
as the README asks for it, and recording that a message ends.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import chromium
import requests
from images import FOLDER, OF_PAGES, save
from installation import Installation, installed
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

SIZE = ViewportSize(width=1000, height=700)
SCALE = 1.5
"""Physical pixels for one of the page's: sharp where a picture is shown at half its width."""

TYPING, RECORDING = "5511999999999", "4915112345678"
WITHIN_MS = 15_000


def take(installation: Installation, browser: Browser, folder: Path) -> None:
    """Go through it once, and take each picture when the page says what it is to show."""
    phone, console = open_phone(installation, browser), open_console(installation, browser)
    ask(installation, RECORDING, "recording", 20)
    expect(chat(phone, RECORDING, "recording")).to_be_visible(timeout=WITHIN_MS)
    ask(installation, TYPING, "typing", 5)
    expect(chat(phone, TYPING, "typing")).to_be_visible(timeout=WITHIN_MS)
    expect(showing(console)).to_have_count(2, timeout=WITHIN_MS)
    picture(phone, folder / "phone-shows.png")
    picture(console, folder / "console-shows.png")

    phone.get_by_label("To", exact=True).fill(RECORDING)
    phone.get_by_label("Message", exact=True).fill("Here it is")
    phone.get_by_role("button", name="Send").click()
    for number in (TYPING, RECORDING):
        expect(chat(phone, number, "paused")).to_be_visible(timeout=WITHIN_MS)
    expect(ended(console)).to_have_count(2, timeout=WITHIN_MS)
    expect(showing(console)).to_have_count(0, timeout=WITHIN_MS)
    picture(phone, folder / "phone-ended.png")
    picture(console, folder / "console-ended.png")


def open_phone(installation: Installation, browser: Browser) -> Page:
    """The sandbox's phone, listening."""
    page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE)
    page.goto(f"{installation.sandbox_url}/?instance=demo")
    expect(page.locator("[data-stream]")).to_have_attribute("data-stream", "live", timeout=WITHIN_MS)
    return page


def open_console(installation: Installation, browser: Browser) -> Page:
    """The console as the operator sees it."""
    page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE)
    page.goto(f"{installation.ready['admin_url']}/console")
    page.get_by_label("Key or token").fill(str(installation.ready["admin_key"]))
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Live", timeout=WITHIN_MS)
    return page


def ask(installation: Installation, number: str, state: str, duration: int) -> None:
    """Send one command, as a bot would."""
    body = {"number": number, "state": state, "duration": duration}
    headers = {"token": str(installation.ready["instance_token"])}
    requests.post(
        f"{installation.url}/api/chat/presence/demo", json=body, headers=headers, timeout=5
    ).raise_for_status()


def chat(phone: Page, number: str, state: str) -> Locator:
    return phone.locator(f"#chats [data-chat='{number}@s.whatsapp.net'][data-state='{state}']")


def showing(console: Page) -> Locator:
    return console.locator(".chat:not([data-state=''])")


def ended(console: Page) -> Locator:
    return console.locator(".chat[data-state='']").filter(has_text="ended by")


def picture(page: Page, file: Path) -> None:
    """Take what the window shows."""
    save(page.screenshot(animations="allow"), file)
    print(f"{file.name}: {file.stat().st_size // 1024} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=FOLDER)
    asked = parser.parse_args()
    program = chromium.find_chromium()
    if program is None:
        sys.exit(f"The pictures are taken with Chromium: {chromium.TO_INSTALL}")
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder)) as installation,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=chromium.ARGUMENTS)
        take(installation, browser, asked.to)
        browser.close()
    missing = [name for name in OF_PAGES if not (asked.to / name).exists()]
    assert missing == []


if __name__ == "__main__":
    main()
