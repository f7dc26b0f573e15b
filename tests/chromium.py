"""A real browser for the tests and for the pictures: Debian's or anyone's Chromium, and how it is started."""

import shutil

# Headless in a container, silent on the network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TO_INSTALL = "apt-get install --no-install-recommends chromium"


def find_chromium() -> str | None:
    """Return the path of the first Chromium or Chrome on the PATH, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)
