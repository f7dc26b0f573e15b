"""The account `demo` with an instance on the sandbox: made once, its tokens kept for the developer to paste."""

import json
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from gateway.commands.errors import CommandFailed
from gateway.presence.errors import Conflict
from gateway.presence.model import Target
from gateway.process.keyfile import write_private
from gateway.store import keys
from gateway.store.redis import command
from gateway.tenants import tokens
from gateway.wiring import Services

_NAME = "demo"


@dataclass(frozen=True, slots=True)
class Demo:
    """What a developer needs for a first request."""

    instance: str
    account_token: str
    instance_token: str


async def ensure_demo(services: Services, file: Path, sandbox_url: str) -> Demo:
    """Return the demo of the last start, or make one; either way its instance is on the sandbox of this start.

    What is in Redis and what is in the file may differ (one was removed, or we died in between): whatever no longer
    works is made anew.

    Raises:
        StoreUnavailable: Redis does not answer.
        CommandFailed: the file cannot be read.
    """
    demo = _read(file) or Demo(_NAME, "", "")
    account_token, account_id = await _account(services, demo.account_token)
    demo = Demo(demo.instance, account_token, demo.instance_token or tokens.make("instance"))
    # Before the instance is made: its token is kept nowhere else.
    _write(file, demo)
    phone = Target("sandbox", sandbox_url, "")
    if not await _is_known(services, demo.instance_token):
        demo = await _create_instance(services, account_id, demo, phone)
        _write(file, demo)
    found = await services.directory.find_instance(account_id, demo.instance)
    # The sandbox is the phone that it was at the last start, wherever it listens now; what is owed is owed to it.
    await services.moves.move_instance(found.id, phone, is_same_phone=True)
    await services.moves.settle(is_same_phone=True)
    return demo


async def _account(services: Services, token: str) -> tuple[str, str]:
    """Return a token of the account that works, and the account's id."""
    try:
        created = await services.directory.create_account(_NAME)
    except Conflict:
        account_id = await services.directory.find_account(_NAME)
        if await _is_known(services, token):
            return token, account_id
        return (await services.directory.issue_token(account_id, name=_NAME)).token, account_id
    return created.token, created.id


async def _create_instance(services: Services, account_id: str, demo: Demo, phone: Target) -> Demo:
    """Make the instance; where its name is taken by one whose token is lost, under another name."""
    for number in count(1):
        name = _NAME if number == 1 else f"{_NAME}-{number}"
        try:
            await services.directory.create_instance(account_id, name, upstream=phone, token=demo.instance_token)
        except Conflict:
            continue
        return Demo(name, demo.account_token, demo.instance_token)
    raise AssertionError


async def _is_known(services: Services, token: str) -> bool:
    return bool(token) and bool(await command(services.redis, "EXISTS", keys.token(services.hasher(token))))


def _read(file: Path) -> Demo | None:
    try:
        return Demo(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise CommandFailed(f"{file} cannot be read; remove it, and the demo gets new tokens") from error


def _write(file: Path, demo: Demo) -> None:
    write_private(file, json.dumps(asdict(demo), indent=2) + "\n")
