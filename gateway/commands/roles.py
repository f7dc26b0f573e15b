"""`presence-gateway dev`, `serve` and `sandbox`: the commands that stay until they are told to stop."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway import settings
from gateway.commands.dev.ports import url_of
from gateway.commands.errors import CommandFailed
from gateway.telemetry import logs


def dev(
    context: typer.Context,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, show_default="8080", help="The API's port; 0 takes a free one."),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, show_default="9090", help="The operator's port: health and metrics."),
    ] = None,
    sandbox_port: Annotated[int, typer.Option(min=0, max=65535, help="The sandbox phone's port.")] = 0,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="data", help="Where everything is kept.", file_okay=False),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Written as JSON when everything serves, for scripts.", dir_okay=False),
    ] = None,
) -> None:
    """Run everything on this machine: gateway, worker, embedded Valkey and a sandbox phone.

    On first start it makes keys and a demo account; the second start finds them again. Ctrl-C stops all of it.
    """
    from gateway.commands.dev.plan import Plan
    from gateway.commands.dev.runner import run

    raise typer.Exit(run(Plan(data or context.obj, port, admin_port, sandbox_port, ready_file)))


def serve(
    *,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Gateways to run behind one port, one for each core. Their operator's ports count up.",
        ),
    ] = 1,
    listen_fd: Annotated[
        int | None,
        typer.Option(min=3, help="A listening socket to serve on, such as systemd's (3).", show_default=False),
    ] = None,
    admin_fd: Annotated[int | None, typer.Option(min=3, hidden=True)] = None,
) -> None:
    """Run one gateway, or several: the front door and the operator's port, on the Redis that is set.

    Workers run beside it: python -m workers. SIGTERM drains it; with
    --processes, SIGHUP replaces the processes one by one, without a refused
    request.
    """
    from gateway.api.serve import serve as serve_api
    from gateway.process.prefork import Manager

    loaded = settings.load_to_join()
    logs.set_up(level=loaded.log.level, fmt=loaded.log.format)
    if processes > 1 and (listen_fd, admin_fd) != (None, None):
        raise CommandFailed("--processes opens its own sockets; use it without --listen-fd")
    work = Manager(loaded, processes).run() if processes > 1 else serve_api(loaded, listen_fd, admin_fd)
    try:
        uvloop.run(work)
    except OSError as error:
        raise CommandFailed(f"{error}; set another with PRESENCE_HTTP__PORT or PRESENCE_ADMIN__PORT") from error


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8090,
) -> None:
    """Run the sandbox alone: an upstream with a phone page, which fails on demand."""
    try:
        uvloop.run(_sandbox(host, port))
    except OSError as error:
        raise CommandFailed(f"{error.strerror}; choose another with --port") from error


async def _sandbox(host: str, port: int) -> None:
    from gateway.process.server import listening
    from gateway.sandbox.app import create_sandbox

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(create_sandbox(), host, port, shutdown_timeout=1.0) as taken:
        typer.echo(f"Sandbox phone: {url_of(host, taken)}  (Ctrl-C stops it)")
        await stop.wait()
