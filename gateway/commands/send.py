"""`presence-gateway send`: the documented request from the command line, a caller like any other."""

import time
from typing import Annotated, Any
from urllib.parse import quote

import aiohttp
import msgspec
import typer
import uvloop

from gateway.commands.errors import CommandFailed
from gateway.commands.printing import Json, print_json

_TIMEOUT_S = 15.0
_QUOTA = {"limit": "X-RateLimit-Limit", "remaining": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset"}


def send(
    instance: Annotated[str, typer.Argument(help="The instance's name.")],
    number: Annotated[str, typer.Argument(help="A phone number, or a JID such as 123-456@g.us.")],
    state: Annotated[
        str, typer.Argument(help="typing, recording or pause.", autocompletion=lambda: ["typing", "recording", "pause"])
    ],
    *,
    duration: Annotated[
        int | None, typer.Option(help="Seconds until the automatic pause, up to 60.", show_default=False)
    ] = None,
    url: Annotated[str, typer.Option(envvar="PRESENCE_URL", help="The gateway's address.")] = "http://127.0.0.1:8080",
    token: Annotated[
        str, typer.Option(envvar="PRESENCE_TOKEN", help="An account's or the instance's token.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Show typing or recording on a chat, or pause it."""
    body: dict[str, Any] = {"number": number, "state": state}
    if duration is not None:
        body["duration"] = duration
    address = f"{url.rstrip('/')}/api/chat/presence/{quote(instance, safe='')}"
    answer, quota = uvloop.run(_post(address, token, body))
    if as_json:
        print_json({**answer, "rate_limit": quota})
    if not answer.get("success"):
        raise CommandFailed(str(answer.get("error", {}).get("message", "the answer is not a presence gateway's")))
    if not as_json:
        typer.echo(answer["message"])
        _print_quota(quota)


async def _post(address: str, token: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, json=body, headers={"token": token}, allow_redirects=False) as response,
        ):
            quota = {
                name: int(response.headers[header]) for name, header in _QUOTA.items() if header in response.headers
            }
            return msgspec.json.decode(await response.read(), type=dict[str, Any]), quota
    except (msgspec.DecodeError, ValueError) as error:
        raise CommandFailed(f"{address} does not answer like a presence gateway") from error
    except TimeoutError as error:
        raise CommandFailed(f"no answer from {address} within {_TIMEOUT_S:.0f} s") from error
    except aiohttp.ClientError as error:
        raise CommandFailed(f"cannot reach {address}: {error}") from error


def _print_quota(quota: dict[str, int]) -> None:
    if quota.keys() == _QUOTA.keys():
        wait_s = max(0, quota["reset"] - int(time.time()))
        typer.echo(f"{quota['remaining']} of {quota['limit']} left this minute; the next slot frees in {wait_s} s")
