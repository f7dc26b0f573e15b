"""What is compared: each stack with a Valkey of its own, in front of the same upstream, serving."""

import base64
import grp
import hashlib
import hmac
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

from redis import Redis
from valkeys import Running

from comparison import least, obvious, ours
from comparison.held import CannotHold, held
from comparison.processes import HERE, LOOPBACK, program, running, tree
from comparison.valkey import valkey
from gateway.commands.dev.ports import free_port
from gateway.tenants import tokens

NAMES = [f"bench{number}" for number in range(16)]
"""The instances; their callers take turns, each with a token of its own."""

NO_LIMIT = 100_000_000

PRESENCE = "/api/chat/presence"

_MODULES = "libnginx-mod-http-lua, lua-nginx-redis and lua-cjson"


class Absent(Exception):
    """This stack cannot be built here; the message names what is missing."""


@dataclass(frozen=True)
class Stack:
    """A stack that serves: where, who calls (a file of "path token" lines), and its processes by role."""

    name: str
    address: str
    callers: Path
    pids: dict[str, int]
    redis_url: str | None = None
    refused: dict[int, Path] = field(default_factory=dict)

    def refusing(self, status: int) -> "Stack":
        """Return it with the callers that it refuses with this status."""
        return replace(self, callers=self.refused[status])


@contextmanager
def open_nginx(folder: Path, upstream_url: str) -> Iterator[Stack]:
    """Run nginx + Lua + Redis, one worker process."""
    modules = _modules()
    known = {name: secrets.token_hex(32) for name in NAMES}
    with valkey(folder / "valkey") as server:
        with Redis.from_url(server.url) as redis:
            sha = redis.script_load((HERE / "lua/command.lua").read_text())
            for name, token in known.items():
                digest = hmac.digest(b"pepper", token.encode(), hashlib.sha1)
                key = f"pg:token:{base64.b64encode(digest).decode()}"
                redis.hset(key, mapping={"instance": name, "limit": NO_LIMIT})
        port = free_port()
        with _nginx(
            "gateway",
            folder,
            port,
            modules=modules,
            redis_socket=_socket(server),
            command_sha=sha,
            upstream_port=upstream_url.rpartition(":")[2],
        ) as pid:
            pids = {"gateway": pid, "Valkey": server.pid}
            yield Stack("nginx + Lua", _at(port), _callers(folder, known), pids, server.url)


@contextmanager
def open_obvious(folder: Path, upstream_url: str) -> Iterator[Stack]:
    """Run aiohttp with a call of redis-py each and `enqueue_job`, one process."""
    known = {name: secrets.token_hex(32) for name in NAMES}
    with valkey(folder / "valkey") as server:
        with Redis.from_url(server.url) as redis:
            for name, token in known.items():
                redis.hset(obvious.token_key(token), mapping={"instance": name, "limit": NO_LIMIT})
        port = free_port()
        command = program("obvious", port, _socket(server), upstream_url)
        with running(command, folder / "log", port=port) as process:
            pids = {"gateway": process.pid, "Valkey": server.pid}
            yield Stack("obvious", _at(port), _callers(folder, known), pids, server.url)


@contextmanager
def open_least(folder: Path, upstream_url: str) -> Iterator[Stack]:
    """Run what nginx + Lua does in Python, on the gateway's fast parts and nothing else."""
    known = {name: secrets.token_hex(32) for name in NAMES}
    with valkey(folder / "valkey") as server:
        with Redis.from_url(server.url) as redis:
            for name, token in known.items():
                redis.hset(least.token_key(token), mapping={"instance": name, "limit": NO_LIMIT})
        port = free_port()
        with running(program("least", port, server.url, upstream_url), folder / "log", port=port) as process:
            pids = {"gateway": process.pid, "Valkey": server.pid}
            yield Stack("the least", _at(port), _callers(folder, known), pids, server.url)


@contextmanager
def open_ours(
    folder: Path, upstream_url: str, *, processes: int = 1, kind: str = "wuzapi", route: str = PRESENCE
) -> Iterator[Stack]:
    """Run `presence-gateway serve`, everything switched on; callers use `route`, to an upstream of this kind."""
    with valkey(folder / "valkey") as server:
        services = ours.Installation(folder, server.url, upstream_url)
        made, limited = (
            {one.name: one.token for one in services.create_account(name, NAMES, per_minute=per_minute, kind=kind)}
            for name, per_minute in (("bench", NO_LIMIT), ("limited", 1))
        )
        callers = _callers(folder, made, route=route)
        refused = {
            429: _callers(folder, limited, "limited"),
            401: _callers(folder, {name: tokens.make("instance") for name in NAMES}, "unknown"),
        }
        with services.serving(processes) as pid:
            name = "ours" if processes == 1 else f"ours, {processes} processes"
            pids = {"gateway": pid, "Valkey": server.pid}
            yield Stack(name, _at(services.port), callers, pids, server.url, refused)


@contextmanager
def open_held(folder: Path, upstream_url: str, *, processes: int = 1) -> Iterator[Stack]:
    """Run ours with each gateway process held to a third of a core."""
    with open_ours(folder, upstream_url, processes=processes) as stack:
        # A manager of several does no work of its own.
        gateways = tree(stack.pids["gateway"])[-processes:]
        try:
            with held(gateways):
                yield replace(
                    stack, name=f"{stack.name}, 1/3 core each" if processes > 1 else f"{stack.name}, 1/3 core"
                )
        except CannotHold as reason:
            raise Absent(f"processes held to a third of a core: {reason}") from reason


@contextmanager
def open_bare(folder: Path, _: str) -> Iterator[Stack]:
    """Run aiohttp alone."""
    port = free_port()
    with running(program("bare", port), folder / "log", port=port) as process:
        callers = _callers(folder, dict.fromkeys(NAMES, "none"))
        yield Stack("aiohttp alone", _at(port), callers, {"gateway": process.pid})


@contextmanager
def open_upstream(folder: Path) -> Iterator[tuple[str, int]]:
    """Run the cheapest upstream there is here; yields its URL and its process."""
    port = free_port()
    if shutil.which("nginx") is None:
        with running(program("upstream", port), folder / "upstream.log", port=port) as process:
            yield f"http://{_at(port)}", process.pid
    else:
        with _nginx("upstream", folder, port) as pid:
            yield f"http://{_at(port)}", pid


OPENERS: dict[str, Callable[[Path, str], AbstractContextManager[Stack]]] = {
    "nginx": open_nginx,
    "obvious": open_obvious,
    "least": open_least,
    "ours": open_ours,
    "ours2": lambda folder, upstream_url: open_ours(folder, upstream_url, processes=2),
    "held": open_held,
    "held2": lambda folder, upstream_url: open_held(folder, upstream_url, processes=2),
    "bare": open_bare,
}
"""By the names that `--stacks` takes."""


def _at(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _callers(folder: Path, tokens: dict[str, str], name: str = "callers", *, route: str = PRESENCE) -> Path:
    file = folder / name
    file.write_text("".join(f"{route}/{instance} {token}\n" for instance, token in tokens.items()))
    return file


def _socket(server: Running) -> str:
    return server.url.removeprefix("unix://")


@contextmanager
def _nginx(name: str, folder: Path, port: int, **values: str) -> Iterator[int]:
    source = Template((HERE / f"nginx/{name}.conf").read_text())
    # Else root's worker becomes somebody who may not enter our folder.
    values |= {"user": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
    conf = folder / f"{name}.conf"
    conf.write_text(source.substitute(values, folder=folder, port=port, here=HERE / "nginx"))
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(conf)]
    with running(command, folder / f"{name}.log", port=port) as process:
        yield process.pid


def _modules() -> str:
    """Return the folder of nginx's modules; raises where one that we need is not there."""
    if shutil.which("nginx") is None:
        raise Absent("nginx + Lua: there is no nginx here")
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    folder = next((word.partition("=")[2] for word in built.split() if word.startswith("--modules-path=")), "")
    if not (Path(folder) / "ngx_http_lua_module.so").exists():
        raise Absent(f"nginx + Lua: nginx lacks its Lua module (Debian: {_MODULES})")
    for name in ("share/lua/5.1/nginx/redis.lua", "lib/*/lua/5.1/cjson.so"):
        if not any(Path("/usr").glob(name)):
            raise Absent(f"nginx + Lua: Lua lacks {Path(name).name} (Debian: {_MODULES})")
    return folder
