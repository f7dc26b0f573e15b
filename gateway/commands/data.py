"""`presence-gateway check`, `backup`, `restore` and `upgrade`: data looked over, saved, brought back, carried over."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.errors import CommandFailed
from gateway.commands.installation import with_services
from gateway.commands.printing import Json, print_done, print_json
from gateway.process.keyfile import write_private
from gateway.store.redis import open_redis
from gateway.store.upgrade import Upgrade
from gateway.tenants.backup import RedisBackup
from gateway.tenants.checker import RedisChecker
from gateway.wiring import Services


def check(context: typer.Context, *, as_json: Json = False) -> None:
    """Look for accounts, instances and tokens that are half there; exits with 1 where it finds any."""
    problems = with_services(context, lambda services: RedisChecker(services.redis, services.executor).problems())
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    if problems:
        raise CommandFailed("\n".join([f"{len(problems)} found", *(f"  {problem}" for problem in problems)]))
    if not as_json:
        typer.echo("All is well: no orphan, nothing half made or half deleted.")


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Written whole or not at all, readable by you only.", dir_okay=False)],
    *,
    as_json: Json = False,
) -> None:
    """Write all tenant data to a file: hashed tokens, encrypted credentials, no clear secret.

    It is good only with the pepper and the encryption keys of this installation; keep those elsewhere.
    """
    lines = with_services(context, lambda services: RedisBackup(services.redis, services.hasher).lines())
    write_private(file, "\n".join(lines) + "\n")
    print_done(f"{file}: {len(lines) - 2} records.", {"file": str(file), "records": len(lines) - 2}, as_json)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.", exists=True, dir_okay=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="In the place of what is there, which is lost.")] = False,
    as_json: Json = False,
) -> None:
    """Bring tenant data back into an empty Redis."""
    lines = file.read_text(encoding="utf-8").splitlines()

    async def bring_back(services: Services) -> int:
        restored = await RedisBackup(services.redis, services.hasher).restore(lines, force=force)
        await services.moves.settle()  # an older version's backup does not say who uses which session
        return restored

    count = with_services(context, bring_back)
    print_done(f"{count} records are back.", {"records": count}, as_json)


def upgrade(
    context: typer.Context,
    *,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="Another Redis, whose data is copied here and stays as it is there."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry the data of 0.1.0 over to today's names, or all data from another Redis, such as to a cluster.

    Stop every gateway and worker before, and start those of this version after. May be broken off and run again.
    """

    async def carry(services: Services) -> int:
        if source is None:
            return await Upgrade(services.redis, services.executor, is_same=True).run()
        async with open_redis(source, connect_timeout_s=5.0, timeout_s=30.0, max_connections=4) as other:
            return await Upgrade(other, services.executor, is_same=False).run()

    count = with_services(context, carry)
    print_done(f"{count} keys were carried over.", {"keys": count}, as_json)
