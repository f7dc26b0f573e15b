"""`python -m workers` runs one worker."""

import sys

import uvloop

from gateway import settings
from gateway.telemetry import logs
from workers.worker import run


def main() -> None:
    """Read the settings and work until told to stop."""
    try:
        loaded = settings.load_to_join(reads_tokens=False)
    except settings.SettingsError as error:
        sys.exit(f"presence-gateway: the settings are wrong\n{error}")
    logs.set_up(level=loaded.log.level, fmt=loaded.log.format)
    uvloop.run(run(loaded))


if __name__ == "__main__":
    main()
