"""`presence-gateway doctor`: follow the way of a presence to its upstream, and say where it ends."""

from dataclasses import asdict
from typing import Annotated

import typer

from gateway.commands.errors import CommandFailed
from gateway.commands.installation import with_services
from gateway.commands.printing import Json, print_json, print_table
from gateway.presence.errors import InstanceNotFound
from gateway.presence.model import Instance
from gateway.tenants.directory import RedisDirectory
from gateway.upstreams import doctor as upstream_doctor
from gateway.upstreams.doctor import Finding
from gateway.wiring import Services


def doctor(
    context: typer.Context,
    *,
    instance: Annotated[str, typer.Option("--instance", metavar="NAME", help="The instance's name or id.")],
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Whose, where several have one of that name.")] = "",
    as_json: Json = False,
) -> None:
    """Check one instance for real: Redis, clocks, its upstream reached, its credential accepted, its session connected.

    Exits with 1 where something is bad.
    """

    async def examine(services: Services) -> list[Finding]:
        found = await _find(services.directory, instance, account)
        return await upstream_doctor.examine(services.redis, services.upstreams, found.target)

    findings = with_services(context, examine)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        print_table(("check", "", "found"), [(f.check, f.verdict, f.detail) for f in findings], empty="")
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


async def _find(directory: RedisDirectory, name: str, account: str) -> Instance:
    """Return the instance of that name or id, of the account where one is named.

    Raises:
        InstanceNotFound: there is none.
        CommandFailed: several accounts have one.
    """
    owners = [await directory.find_account(account)] if account else [owner.id for owner in await directory.accounts()]
    every = [found for owner in owners for found in await directory.instances(owner)]
    fitting = [found for found in every if name in {found.name, found.id}]
    if not fitting:
        raise InstanceNotFound
    if len(fitting) > 1:
        raise CommandFailed(f"several accounts have an instance {name}; say whose with --account")
    return fitting[0]
