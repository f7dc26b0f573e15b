"""One frozen `Settings`, read once from `config/gateway.toml` and the environment; nothing else reads either.

A setting `[limits] per_minute` is overridden by `PRESENCE_LIMITS__PER_MINUTE`. Every error is reported at once.
"""

import base64
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from gateway.presence.model import is_base_url

ENV_PREFIX = "PRESENCE_"

_CLUSTER = "cluster://"
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "sentinel://", _CLUSTER)
_FERNET_KEY_BYTES = 32
_ADMIN_KEY = re.compile(r"[\x21-\x7e]{16,}")
"""One that a header can carry, and that nobody guesses."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class SettingsError(Exception):
    """One or more settings are wrong; `problems` holds one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem; the operator mends them in one go."""
        super().__init__("\n".join(problems))
        self.problems = problems


class Http(Struct, frozen=True):
    """The front door."""

    host: str = "127.0.0.1"
    port: Port = 8080
    max_body_bytes: Positive = 4096
    max_event_bytes: Positive = 1_048_576
    head_timeout_s: Seconds = 5.0
    body_timeout_s: Seconds = 5.0
    keepalive_timeout_s: Seconds = 20.0
    max_head_bytes: Positive = 8190
    max_in_flight: Positive = 512
    max_in_flight_per_account: Positive = 128
    max_connections: Positive = 4096
    max_connections_per_address: Count = 0
    drain_delay_s: Annotated[float, Meta(ge=0)] = 0.0
    drain_timeout_s: Seconds = 15.0
    trusted_proxies: Count = 0


class Admin(Struct, frozen=True):
    """The operator's port: health, metrics and `/admin/`."""

    host: str = "127.0.0.1"
    port: Port = 9090
    trusted_proxies: Count = 0


class Redis(Struct, frozen=True):
    """Where everything lives."""

    url: str = ""
    connect_timeout_s: Seconds = 1.0
    timeout_s: Seconds = 2.0
    max_connections: Positive = 64


class Limits(Struct, frozen=True):
    """Requests a minute."""

    per_minute: Positive = 100
    creation_per_minute: Positive = 20
    reading_per_minute: Positive = 600
    events_per_minute: Positive = 1200
    account_per_minute: Count = 0
    global_per_minute: Count = 0
    failures_per_minute: Positive = 300
    instances_per_account: Positive = 100
    tokens_per_account: Positive = 20


class Upstream(Struct, frozen=True):
    """The service's default upstream, and how upstreams are called."""

    kind: str = ""
    url: str = ""
    credential: str = ""
    timeout_s: Seconds = 4.5
    connections: Positive = 1024
    connections_per_origin: Positive = 512
    allowed: str = ""
    tenants_may_bring: bool = False
    sessions: str = "account.instance"
    dns_servers: str = ""

    @property
    def allowed_origins(self) -> list[str]:
        """The origins of `allowed`, one by one."""
        return [origin.strip() for origin in self.allowed.split(",") if origin.strip()]

    @property
    def dns_addresses(self) -> list[str]:
        """The servers of `dns_servers`, one by one."""
        return [server.strip() for server in self.dns_servers.split(",") if server.strip()]


class Pass(Struct, frozen=True):
    """What passes through to the upstream."""

    max_body_bytes: Positive = 150_000_000
    timeout_s: Seconds = 180.0
    connect_timeout_s: Seconds = 5.0
    max_in_flight: Positive = 256
    max_in_flight_per_account: Positive = 64
    websockets: Positive = 256
    websockets_per_account: Positive = 16
    max_message_bytes: Positive = 16_777_216
    messages_per_s: Positive = 500
    recheck_s: Seconds = 15.0


class Presence(Struct, frozen=True):
    """The promise."""

    lease_slack_s: Seconds = 1.0
    echo_s: Seconds = 10.0
    natural_end_s: Annotated[float, Meta(ge=0)] = 10.0
    hold_max_s: Annotated[int, Meta(ge=60, le=86400)] = 600
    history_s: Annotated[float, Meta(ge=0, le=86400)] = 600.0
    give_up_s: Seconds = 600.0


class Worker(Struct, frozen=True):
    """The back door."""

    host: str = "127.0.0.1"
    port: Port = 9191
    max_jobs: Positive = 512
    poll_s: Seconds = 0.02
    drain_timeout_s: Seconds = 10.0


class Fast(Struct, frozen=True):
    """The ways of `gateway/fast`, which lean on libraries' insides; off is the plain way, with the same promises."""

    pipeline: bool = True
    batch_claims: bool = True
    upstream_http: bool = True


class Secrets(Struct, frozen=True):
    """Keys, in clear here and nowhere else; normally from the environment or `file`."""

    file: str = ""
    pepper: str = ""
    encryption_keys: str = ""
    admin_key: str = ""


class Log(Struct, frozen=True):
    """What is printed."""

    level: str = "info"
    format: str = "auto"


class Tracing(Struct, frozen=True):
    """OpenTelemetry export; a caller's `traceparent` is logged and handed on either way."""

    export: bool = False
    endpoint: str = ""
    ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Settings(Struct, frozen=True):
    """Every setting; `config/gateway.toml` says what each is for."""

    http: Http = field(default_factory=Http)
    admin: Admin = field(default_factory=Admin)
    redis: Redis = field(default_factory=Redis)
    limits: Limits = field(default_factory=Limits)
    upstream: Upstream = field(default_factory=Upstream)
    pass_: Pass = field(default_factory=Pass, name="pass")
    presence: Presence = field(default_factory=Presence)
    worker: Worker = field(default_factory=Worker)
    fast: Fast = field(default_factory=Fast)
    secrets: Secrets = field(default_factory=Secrets)
    log: Log = field(default_factory=Log)
    tracing: Tracing = field(default_factory=Tracing)

    @property
    def lease_s(self) -> float:
        """How long one upstream call may own a chat: the call's timeout and some slack."""
        return self.upstream.timeout_s + self.presence.lease_slack_s


_SECTIONS = {section.encode_name: section.type for section in msgspec.structs.fields(Settings)}


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the file, then the environment over it.

    Args:
        path: a TOML file; by default the one `PRESENCE_CONFIG` names, else `config/gateway.toml` where it exists.
        environ: by default the process's own.

    Raises:
        SettingsError: with every problem found, not just the first.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    raw = _from_file(path, environ, problems)
    _overlay(raw, environ, problems)
    _read_secrets_file(raw, problems)
    sections = {name: _section(name, raw.get(name, {}), problems) for name in _SECTIONS}
    # What is wrong by itself counts as its default here, so that what is wrong together is found as well.
    settings = Settings(**{item.name: sections[item.encode_name] for item in msgspec.structs.fields(Settings)})
    problems += _cross_check(settings)
    if not problems:
        return settings
    raise SettingsError(problems)


def load_to_join(environ: Mapping[str, str] | None = None, *, reads_tokens: bool = True) -> Settings:
    """Load the settings of a process that joins an installation; what no default could know must be there.

    Args:
        environ: by default the process's own.
        reads_tokens: whether callers' tokens are read, which takes the pepper; a worker reads none.

    Raises:
        SettingsError: with every problem found.
    """
    settings = load(environ=environ)
    if problems := missing(settings, reads_tokens=reads_tokens):
        raise SettingsError(problems)
    return settings


def missing(settings: Settings, *, reads_tokens: bool = True) -> list[str]:
    """Return what a process cannot join an installation without."""
    problems = []
    if not settings.redis.url:
        problems.append("[redis] url (PRESENCE_REDIS__URL): needed; `presence-gateway dev` brings a Redis of its own")
    if reads_tokens and not settings.secrets.pepper:
        problems.append(
            "[secrets] pepper (PRESENCE_SECRETS__PEPPER, or in the file that PRESENCE_SECRETS__FILE names): needed; "
            "`presence-gateway keys generate` makes one"
        )
    return problems


def _from_file(path: Path | None, environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    named = path or (Path(environ["PRESENCE_CONFIG"]) if environ.get("PRESENCE_CONFIG") else None)
    file = named or Path("config/gateway.toml")
    if named is None and not file.exists():
        return {}
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: {error}")
        return {}
    problems += [f"{file}: unknown section [{name}]" for name in raw if name not in _SECTIONS]
    sections = {name: given for name, given in raw.items() if name in _SECTIONS}
    problems += [f"{file}: [{name}] is a section, not a setting" for name in sections if not _is_table(sections[name])]
    return {name: dict(given) for name, given in sections.items() if _is_table(given)}


def _is_table(given: Any) -> bool:
    return isinstance(given, dict)


def _overlay(raw: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> None:
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX) or "__" not in variable:
            continue
        section, _, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        if section in _SECTIONS:
            raw.setdefault(section, {})[key] = value
        else:
            problems.append(f"{variable}: there is no section [{section}]")


def _read_secrets_file(raw: dict[str, Any], problems: list[str]) -> None:
    """Fill in what the environment left open; a file keeps keys out of process listings."""
    secrets = raw.get("secrets", {})
    if not secrets.get("file"):
        return
    try:
        stored = tomllib.loads(Path(secrets["file"]).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"[secrets] file: {error}")
        return
    # A key that is set but empty, as in `config/gateway.toml`, is open too.
    raw["secrets"] = {**stored, **{key: value for key, value in secrets.items() if value}}


def _section(name: str, given: dict[str, Any], problems: list[str]) -> Any:
    section = _SECTIONS[name]
    fields = {item.name: item for item in msgspec.structs.fields(section)}
    values = {}
    for key, value in given.items():
        where = f"[{name}] {key} ({ENV_PREFIX}{name.upper()}__{key.upper()})"
        if key not in fields:
            problems.append(f"{where}: there is no such setting; known are {', '.join(fields)}")
            continue
        try:
            values[key] = msgspec.convert(value, fields[key].type, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{where}: {error}")
    return section(**values)


def _cross_check(settings: Settings) -> list[str]:
    return [problem for is_well, problem in (*_upstream_rules(settings.upstream), *_rules(settings)) if not is_well]


def _rules(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Yield what must hold, and what to say where it does not."""
    log, secrets = settings.log, settings.secrets
    yield log.level in {"debug", "info", "warning", "error"}, "[log] level: use debug, info, warning or error"
    yield log.format in {"auto", "json", "console"}, "[log] format: use auto, json or console"
    yield (
        not settings.redis.url or settings.redis.url.startswith(_REDIS_SCHEMES),
        f"[redis] url: begin it with {', '.join(_REDIS_SCHEMES)}",
    )
    yield (
        not settings.redis.url.startswith(_CLUSTER) or is_cluster_url(settings.redis.url),
        "[redis] url: a cluster is cluster://host:port,host:port, with nothing behind the nodes",
    )
    yield (
        settings.fast.batch_claims or not settings.redis.url.startswith(_CLUSTER),
        "[fast] batch_claims: arq's own worker, which false chooses, knows no cluster",
    )
    yield (
        all(_is_fernet_key(key) for key in secrets.encryption_keys.split(",") if key),
        "[secrets] encryption_keys: each is 32 bytes in URL-safe base64; `keys generate` makes one",
    )
    yield (
        not secrets.admin_key or bool(_ADMIN_KEY.fullmatch(secrets.admin_key)),
        "[secrets] admin_key: at least 16 printable ASCII characters; `keys generate` makes one",
    )


def _upstream_rules(upstream: Upstream) -> Iterator[tuple[bool, str]]:
    yield bool(upstream.url or not upstream.kind), "[upstream] url: needed where [upstream] kind is set"
    yield (
        upstream.sessions in {"account.instance", "instance"},
        "[upstream] sessions: use account.instance or instance",
    )
    yield (
        not upstream.url or is_base_url(upstream.url),
        "[upstream] url: an http or https address without a user name, query or fragment; a key is the credential",
    )
    yield (
        all(is_origin(origin) for origin in upstream.allowed_origins),
        "[upstream] allowed: origins such as https://waha.example:3000, separated by commas",
    )
    yield (
        all(_is_dns_server(server) for server in upstream.dns_addresses),
        "[upstream] dns_servers: addresses such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2], with commas between",
    )


def is_origin(url: str) -> bool:
    """Whether this is a scheme, a host and perhaps a port, and nothing else."""
    return is_base_url(url) and not urlsplit(url).path.strip("/")


def is_cluster_url(url: str) -> bool:
    """Whether this names the nodes of a cluster (as the store's `cluster.Address` reads it)."""
    nodes = url.removeprefix(_CLUSTER).rpartition("@")[2].removesuffix("/").split(",")
    return any(nodes) and all(_is_node(node) for node in nodes if node)


def _is_node(node: str) -> bool:
    try:
        parts = urlsplit(f"//{node}")
        return parts.netloc == node and bool(parts.hostname) and parts.port != 0 and not node.endswith(":")
    except ValueError:
        return False


def _is_dns_server(server: str) -> bool:
    """Whether this is an IP address, in brackets where it is IPv6, and perhaps a port."""
    try:
        parts = urlsplit(f"//{server}")
        ipaddress.ip_address(parts.hostname or "")
        return parts.netloc == server and parts.username is None and parts.port != 0 and not server.endswith(":")
    except ValueError:
        return False


def _is_fernet_key(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key)) == _FERNET_KEY_BYTES
    except ValueError:
        return False
