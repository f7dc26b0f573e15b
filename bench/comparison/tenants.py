"""Redis filled with tenants, fast: what the gateway's own directory sends for one, repeated in pipelines.

A tenant is an account with a token and an instance with a token and an upstream of its own.
"""

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison.ours import CREDENTIAL
from comparison.replay import Pipe, resp, watch
from gateway.presence.model import Target
from gateway.settings import Settings
from gateway.store import keys
from gateway.tenants import tokens
from gateway.tenants.directory import Created
from gateway.tenants.reading import read_row
from gateway.wiring import Services, open_services

_NAME = "tenant-{:08}"
_TOKEN_HASH = 6
"""Where it stands among a tenant's words."""

_AT_ONCE = 500
_NO_LIMIT = 100_000_000


class NotMade(Exception):
    """Redis did not take what was sent."""


@dataclass(frozen=True)
class Tenant:
    """An instance's name and its token, as a caller knows them, and the token's hash."""

    name: str
    token: str
    token_hash: str

    @property
    def line(self) -> str:
        """What a generator's file of callers holds."""
        return f"/api/chat/presence/{self.name} {self.token}\n"


@dataclass(frozen=True)
class Making:
    """Makes tenants, and lets them spend their minute; made by `learn`."""

    socket_path: str
    hasher: tokens.TokenHasher
    seal: Callable[[str], tuple[str, str]]
    create: bytes
    admit: bytes
    model: tuple[str, ...]

    def make(self, count: int) -> list[Tenant]:
        """Make so many."""
        made = []
        with Pipe(self.socket_path) as pipe:
            for first in range(0, count, _AT_ONCE):
                some = [self._one(number) for number in range(first, min(first + _AT_ONCE, count))]
                pipe.send(b"".join(request for _, request in some))
                made += [tenant for tenant, _ in some]
                _expect(pipe, 2 * len(some))
        return made

    def spend(self, spenders: Sequence[Tenant], requests: int) -> None:
        """Count so many requests of each token."""
        with Pipe(self.socket_path) as pipe:
            for one in spenders:
                ask = self.admit.replace(self.model[_TOKEN_HASH].encode(), one.token_hash.encode())
                pipe.send(ask.replace(self.model[0].encode(), one.name.encode()) * requests)
                _expect(pipe, requests)

    def _one(self, number: int) -> tuple[Tenant, bytes]:
        name, account_token, token = _NAME.format(number), tokens.make("account"), tokens.make("instance")
        hashes = self.hasher(account_token), self.hasher(token)
        words = _words(name, secrets.token_hex(6), secrets.token_hex(6), *hashes, *self.seal(name))
        request = self.create
        for old, new in zip(self.model, words, strict=True):
            request = request.replace(old.encode(), new.encode())
        return Tenant(name, token, hashes[1]), request


def callers(tenants: Sequence[Tenant], file: Path, seed: int) -> Path:
    """Write the tenants down in random order, as generators read them."""
    file.write_text("".join(one.line for one in random.Random(seed).sample(tenants, len(tenants))))
    return file


async def learn(settings: Settings, upstream_url: str) -> Making:
    """Watch the directory make one tenant, and admission let it in."""
    path = settings.redis.url.removeprefix("unix://")
    async with open_services(settings) as services:
        # The first time the scripts are sent whole.
        await _create(services, "warm-up", upstream_url)
        name = _NAME.format(99_999_999)
        made: list[Created] = []

        async def create() -> None:
            made.extend(await _create(services, name, upstream_url))

        seen = await watch(path, create, name, 2)
        account, instance = made
        token_hash = services.hasher(instance.token)

        async def admit() -> None:
            await services.admission.admit(token_hash, instance_name=name)

        await admit()
        asked = await watch(path, admit, token_hash, 1)
        row = await read_row(services.redis, keys.instance(instance.id))

        def seal(name: str) -> tuple[str, str]:
            target = _target(name, upstream_url)
            return services.directory.rows.upstream(target)["credential"], services.directory.sessions.key(target)

        return Making(
            path,
            services.hasher,
            seal,
            b"".join(resp(words) for words in seen),
            resp(asked[0]),
            _words(
                *(name, account.id[1:], instance.id[1:], services.hasher(account.token), token_hash),
                *(row["credential"], row["uses"]),
            ),
        )


async def _create(services: Services, name: str, upstream_url: str) -> list[Created]:
    account = await services.directory.create_account(name, per_minute=_NO_LIMIT)
    upstream = _target(name, upstream_url)
    return [account, await services.directory.create_instance(account.id, name, upstream=upstream)]


def _target(name: str, url: str) -> Target:
    """Give each its own credential, since that is the session."""
    return Target("wuzapi", url, name, f"{CREDENTIAL}-{name}")


def _words(
    name: str, account: str, instance: str, account_hash: str, token_hash: str, credential: str, session: str
) -> tuple[str, ...]:
    """Return everything that is a tenant's own; each is always as long."""
    ids = ("a" + account, "i" + instance)
    hashes = (account_hash, "t" + account_hash[:12], "t" + token_hash[:12], token_hash)
    return (name, *ids, *hashes, credential, session)


def _expect(pipe: Pipe, replies: int) -> None:
    for _ in range(replies):
        match pipe.reply():
            case b"ok" | [b"ok", *_]:
                pass
            case other:
                raise NotMade(f"Redis answered {other}")
