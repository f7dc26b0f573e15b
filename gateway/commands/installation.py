"""The operator's way into an installation: the one that the settings name, or the runner's on this machine."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import typer
import uvloop

from gateway import settings
from gateway.commands.errors import CommandFailed
from gateway.commands.masking import masked_url
from gateway.presence.errors import StoreUnavailable
from gateway.process.embedded import Valkey
from gateway.wiring import Services, open_services

T = TypeVar("T")


def with_services(context: typer.Context, work: Callable[[Services], Awaitable[T]]) -> T:
    """Do `work` in the installation's services.

    Raises:
        SettingsError: a setting is wrong, or missing.
        CommandFailed: Redis does not answer.
        GatewayError: it was refused.
    """
    loaded = operator_settings(context.obj)

    async def enter() -> T:
        async with open_services(loaded) as services:
            return await work(services)

    try:
        return uvloop.run(enter())
    except StoreUnavailable as error:
        raise CommandFailed(f"Redis does not answer at {masked_url(loaded.redis.url)}: {error.__cause__}") from error


def with_account(context: typer.Context, account: str, work: Callable[[Services, str], Awaitable[T]]) -> T:
    """Do `work` with the id of the account of that name or id (see `with_services`)."""

    async def find(services: Services) -> T:
        return await work(services, await services.directory.find_account(account))

    return with_services(context, find)


def operator_settings(data: Path) -> settings.Settings:
    """Return the settings; where no Redis is set, those of the runner that works in the folder `data`.

    Raises:
        SettingsError: a setting is wrong or missing, and no runner works there.
    """
    if settings.load().redis.url:
        return settings.load_to_join()
    valkey = Valkey.of(data)
    if not valkey.answers():
        raise CommandFailed(
            f"no Redis is set (PRESENCE_REDIS__URL) and no `presence-gateway dev` runs on the data folder {data}; "
            "start one, or name its folder: presence-gateway --data DIR ..."
        )
    keys = {"PRESENCE_SECRETS__FILE": str(valkey.folder / "secrets.toml")}
    return settings.load_to_join(keys | os.environ | {"PRESENCE_REDIS__URL": valkey.url})
