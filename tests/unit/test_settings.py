"""Settings: read once, every error at once, and every setting documented with the default that it really has."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from gateway import settings
from gateway.commands.masking import masked_settings, masked_url
from gateway.presence.model import is_base_url
from gateway.process import keyfile
from gateway.settings import Settings, SettingsError

DOCUMENTED = Path(__file__).resolve().parents[2] / "config" / "gateway.toml"

EVERY_SETTING = [
    (section.encode_name, key.name)
    for section in msgspec.structs.fields(Settings)
    for key in msgspec.structs.fields(section.type)
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings lie around where a test stands."""
    monkeypatch.chdir(tmp_path)


def load(text: str, file: Path, environ: Mapping[str, str] | None = None) -> Settings:
    file.write_text(text)
    return settings.load(file, environ or {})


def problems_of(text: str, file: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(text, file, environ)
    return caught.value.problems


def test_without_a_file_and_an_environment_everything_has_its_default() -> None:
    assert settings.load(environ={}) == Settings()


def test_the_documented_file_holds_every_setting_with_its_real_default() -> None:
    documented = tomllib.loads(DOCUMENTED.read_text())
    assert documented == msgspec.to_builtins(Settings())


def test_the_documented_file_loads() -> None:
    assert settings.load(DOCUMENTED, {}) == Settings()


@pytest.mark.parametrize("section", [section.encode_name for section in msgspec.structs.fields(Settings)])
def test_every_section_is_documented_by_a_comment(section: str) -> None:
    assert re.search(rf"^# .+\n\[{section}\]$", DOCUMENTED.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("section", "key"), EVERY_SETTING)
def test_every_setting_can_be_overridden_by_the_environment(section: str, key: str, file: Path) -> None:
    default = msgspec.to_builtins(Settings())[section][key]
    file.write_text("")
    keys = keyfile.generate()
    file.with_name("keys.toml").write_text(keyfile.as_toml(keys))
    special = {
        "level": "debug",
        "format": "json",
        "ratio": "0.5",
        "file": str(file.with_name("keys.toml")),
        "encryption_keys": keys["encryption_keys"],
        "allowed": "https://waha.example:3000",
        "url": "http://elsewhere" if section == "upstream" else "redis://elsewhere",
        "tenants_may_bring": "1",
        "sessions": "instance",
        "dns_servers": "10.0.0.2,[fd00::2]:5353",
    }
    value = special.get(key, "redis://elsewhere" if isinstance(default, str) else str(type(default)(default + 1)))
    environ = {"PRESENCE_UPSTREAM__URL": "http://upstream", f"PRESENCE_{section.upper()}__{key.upper()}": value}

    loaded = settings.load(file, environ)

    assert msgspec.to_builtins(loaded)[section][key] == type(default)(value)


def test_the_environment_counts_more_than_the_file(file: Path) -> None:
    loaded = load("[limits]\nper_minute = 7\n[http]\nport = 1", file, {"PRESENCE_LIMITS__PER_MINUTE": "8"})
    assert (loaded.limits.per_minute, loaded.http.port) == (8, 1)


def test_every_error_is_reported_at_once(file: Path) -> None:
    text = """
        [http]
        port = 99999
        prot = 1
        [speed]
        [upstream]
        kind = "waha"
    """
    environ = {
        "PRESENCE_LIMITS__PER_MINUTE": "many",
        "PRESENCE_WORKER__POLL_S": "0",
        "PRESENCE_FOO__BAR": "1",
        "PRESENCE_LOG__LEVEL": "loud",
        "PRESENCE_REDIS__URL": "localhost:6379",
        "PRESENCE_SECRETS__ENCRYPTION_KEYS": "short",
        "PRESENCE_SECRETS__ADMIN_KEY": "short too",
    }

    problems = "\n".join(problems_of(text, file, environ))

    for wrong in (
        "[http] port (PRESENCE_HTTP__PORT)",
        "[http] prot (PRESENCE_HTTP__PROT): there is no such setting",
        "unknown section [speed]",
        "[limits] per_minute (PRESENCE_LIMITS__PER_MINUTE)",
        "[worker] poll_s",
        "PRESENCE_FOO__BAR: there is no section [foo]",
        "[log] level: use debug",
        "[upstream] url: needed",
        "[redis] url: begin it with redis://",
        "[secrets] encryption_keys",
        "[secrets] admin_key",
    ):
        assert wrong in problems
    assert len(problems.splitlines()) == 11


@pytest.mark.parametrize("key", ["x" * 15, "a key with blanks in it", "ein-schlüssel-mit-umlaut"])
def test_an_operators_key_that_can_be_guessed_or_not_be_sent_is_refused(key: str, file: Path) -> None:
    assert problems_of("", file, {"PRESENCE_SECRETS__ADMIN_KEY": key}) == [
        "[secrets] admin_key: at least 16 printable ASCII characters; `keys generate` makes one"
    ]


@pytest.mark.parametrize(
    "server", ["dns.example", "10.0.0", "10.0.0.2:", "10.0.0.2:0", "me@10.0.0.2", "10.0.0.2/x", "::1"]
)
def test_a_dns_server_is_an_address(server: str, file: Path) -> None:
    assert "[upstream] dns_servers: addresses" in problems_of(f'[upstream]\ndns_servers = "10.0.0.2,{server}"', file)[0]


def test_a_setting_where_a_section_belongs_is_an_error(file: Path) -> None:
    assert problems_of("http = 8080", file) == [f"{file}: [http] is a section, not a setting"]


@pytest.mark.parametrize("text", ["[http", "\xff"], ids=["broken", "not UTF-8"])
def test_a_file_that_is_not_toml_is_an_error_that_names_it(text: str, file: Path) -> None:
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=re.escape(str(file))):
        settings.load(file, {})


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        settings.load(environ={"PRESENCE_CONFIG": str(tmp_path / "nowhere.toml")})


def test_the_file_is_found_where_the_environment_says(file: Path) -> None:
    file.write_text("[http]\nport = 5")
    assert settings.load(environ={"PRESENCE_CONFIG": str(file)}).http.port == 5


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert settings.load(environ={"PRESENCE_TOKEN": "x", "PATH": "y"}) == Settings()


def test_a_secrets_file_fills_in_what_is_open(file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "secrets.toml"
    keyfile.ensure(keys)
    text = f'[secrets]\nfile = "{keys}"\npepper = ""'

    loaded = load(text, file, {"PRESENCE_SECRETS__ADMIN_KEY": "a-key-of-my-own-making"})

    assert len(loaded.secrets.pepper) >= 43
    assert loaded.secrets.encryption_keys
    assert loaded.secrets.admin_key == "a-key-of-my-own-making"


def test_a_secrets_file_that_is_missing_is_an_error(file: Path) -> None:
    problems = problems_of('[secrets]\nfile = "/nowhere/secrets.toml"', file)
    assert problems == ["[secrets] file: [Errno 2] No such file or directory: '/nowhere/secrets.toml'"]


def test_a_key_that_the_secrets_file_should_not_have_is_an_error(file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "secrets.toml"
    keys.write_text('peper = "x"')
    assert "there is no such setting" in problems_of(f'[secrets]\nfile = "{keys}"', file)[0]


def test_fresh_keys_are_written_for_their_owner_only_and_once(tmp_path: Path) -> None:
    keys = tmp_path / "data" / "secrets.toml"
    keyfile.ensure(keys)
    first = keys.read_text()
    keyfile.ensure(keys)
    assert keys.read_text() == first
    assert keys.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in keys.parent.iterdir()] == ["secrets.toml"]


def test_a_process_that_joins_needs_a_redis_and_a_pepper(file: Path) -> None:
    assert [problem.split(" (")[0] for problem in settings.missing(Settings())] == ["[redis] url", "[secrets] pepper"]
    complete = load('[redis]\nurl = "redis://r"\n[secrets]\npepper = "p"', file)
    assert settings.missing(complete) == []


def test_secrets_are_masked_and_nothing_else_is(file: Path) -> None:
    key = keyfile.generate()["encryption_keys"]
    text = f"""
        [redis]
        url = "redis://user:hidden@redis:6379/0"
        [upstream]
        kind = "waha"
        url = "http://waha"
        credential = "hidden"
        [secrets]
        pepper = "hidden"
        encryption_keys = "{key}"
    """

    shown = masked_settings(load(text, file))

    assert "hidden" not in str(shown)
    assert key not in str(shown)
    assert shown["redis"]["url"] == "redis://user:***@redis:6379/0"
    assert shown["secrets"] == {"file": "", "pepper": "***", "encryption_keys": "***", "admin_key": ""}
    assert shown["upstream"]["url"] == "http://waha"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rediss://user:pw@host:1/0", "rediss://user:***@host:1/0"),
        ("redis://:pw@host", "redis://:***@host"),
        ("unix:///tmp/s?db=1&password=pw", "unix:///tmp/s?db=1&password=***"),
    ],
)
def test_a_password_is_masked_wherever_a_url_holds_one(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@pytest.mark.parametrize("url", ["", "unix:///tmp/s", "redis://host:6379/0", "redis://user@host"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert masked_url(url) == url


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("http://waha:3000", True),
        ("https://waha.example/base/", True),
        ("http://[::1]:3000", True),
        ("http://user:secret@waha:3000", False),
        ("http://user@waha", False),
        ("http://@waha", False),
        ("http://waha?key=secret", False),
        ("http://waha/?", False),
        ("http://waha/#part", False),
        ("http://waha#", False),
        ("http://waha\\@elsewhere", False),
        ("http://wa ha", False),
        ("http://waha:0", False),
        ("http://waha:99999", False),
        ("http://", False),
        ("ftp://waha", False),
        ("waha:3000", False),
        ("", False),
    ],
)
def test_an_upstreams_address_holds_nothing_but_scheme_host_port_and_path(url: str, fits: bool, file: Path) -> None:
    assert is_base_url(url) is fits
    if fits or not url:
        assert load(f'[upstream]\nkind = "waha"\nurl = {json.dumps(url or "http://x")}', file).upstream.kind == "waha"
    else:
        (problem,) = problems_of(f'[upstream]\nkind = "waha"\nurl = {json.dumps(url)}', file)
        assert problem.startswith("[upstream] url:")
        assert "secret" not in problem
