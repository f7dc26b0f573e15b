"""The commands: what they print, and how they fail."""

from pathlib import Path

import pytest
from redis import Redis
from terminal import Run

from gateway import VERSION
from gateway.process import keyfile
from gateway.tenants import tokens

WITHIN_S = 20.0
NO_INSTANCE = (
    "Instance not found; `instance create ACCOUNT NAME` makes one, `instance list ACCOUNT` shows those that are there"
)
NO_TOKEN = "Token not found; `token list ACCOUNT` shows the ids of those that are there"
NO_ACCOUNT = "Account not found; `account create NAME` makes one, `account list` shows those that are there"
NUMBER = "5511999999999"


@pytest.fixture
def operate(run: Run, redis_url: str, everywhere_sync: Redis, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands on an empty installation."""
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    for name, value in keyfile.generate().items():
        monkeypatch.setenv(f"PRESENCE_SECRETS__{name.upper()}", value)
    return run


# Accounts, instances, tokens


def test_an_account_is_made_with_a_token_that_is_shown_once(operate: Run) -> None:
    made = operate("account", "create", "acme", "--per-minute", "500", "--json").json
    assert made.keys() == {"id", "name", "token"}
    assert tokens.is_plausible(made["token"])

    listed = operate("account", "list", "--json")

    assert [(found["id"], found["name"], found["per_minute"]) for found in listed.json["accounts"]] == [
        (made["id"], "acme", 500)
    ]
    assert made["token"] not in listed.out


def test_an_instance_is_made_on_its_upstream_and_its_credential_is_never_shown(
    operate: Run, everywhere_sync: Redis
) -> None:
    operate("account", "create", "acme")
    upstream = ["--upstream-kind", "waha", "--upstream-url", "http://waha:3000", "--upstream-session", "default"]

    made = operate("instance", "create", "acme", "sales", *upstream, "--upstream-credential", "s3cret", "--json").json
    listed = operate("instance", "list", "acme", "--json")

    assert made.keys() == {"id", "name", "token", "account"}
    assert (made["name"], made["account"]) == ("sales", "acme")
    assert listed.json["instances"] == [
        {"id": made["id"], "name": "sales", "upstream": "waha", "url": "http://waha:3000", "session": "default"}
    ]
    stored = "".join(str(everywhere_sync.dump(key)) for key in everywhere_sync.scan_iter())
    assert "s3cret" not in stored
    assert made["token"] not in stored


def test_the_credential_and_the_token_can_come_from_the_environment(
    operate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    operate("account", "create", "acme")
    monkeypatch.setenv("PRESENCE_UPSTREAM_CREDENTIAL", "s3cret")
    monkeypatch.setenv("PRESENCE_INSTANCE_TOKEN", "mine-and-long-enough")
    upstream = ["--upstream-kind", "waha", "--upstream-url", "http://waha:3000"]
    assert operate("instance", "create", "acme", "sales", *upstream, "--json").json["token"] == "mine-and-long-enough"


def test_an_instance_can_have_a_token_of_the_operators_choice(operate: Run) -> None:
    operate("account", "create", "acme")
    made = operate("instance", "create", "acme", "sales", "--token", "mine-and-long-enough", "--json").json
    assert made["token"] == "mine-and-long-enough"
    again = operate("instance", "create", "acme", "support", "--token", "mine-and-long-enough")
    assert (again.code, again.err) == (1, "presence-gateway: Token already in use\n")


def test_a_token_is_issued_and_revoked_by_its_id(operate: Run, redis_url: str) -> None:
    operate("account", "create", "acme")
    issued = operate("token", "issue", "acme", "--name", "crm", "--json").json
    assert issued.keys() == {"id", "name", "token"}
    assert issued["name"] == "crm"

    assert operate("token", "revoke", issued["id"], "--json").json == {"id": issued["id"], "revoked": True}

    again = operate("token", "revoke", issued["id"])
    assert (again.code, again.err) == (1, f"presence-gateway: {NO_TOKEN}\n")


def test_before_an_instance_its_account_is_made_says_the_help(run: Run) -> None:
    examples = run("instance", "create", "--help").out.partition("Examples")[2]
    assert examples.index("presence-gateway account create acme") < examples.index("presence-gateway instance create")


def test_people_get_the_token_whole_and_lists_as_tables(operate: Run) -> None:
    made = operate("account", "create", "acme")
    token = made.out.splitlines()[-1]
    assert "Account acme is made" in made.out
    assert tokens.is_plausible(token)
    assert operate("account", "list").out.split()[:3] == ["name", "id", "status"]
    assert "presence-gateway instance create acme NAME" in operate("instance", "list", "acme").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("account", "create", "acme"), "Account already exists"),
        (("instance", "create", "nobody", "sales"), NO_ACCOUNT),
        (("instance", "create", "acme", "taken"), "Instance already exists"),
        (("instance", "list", "nobody"), NO_ACCOUNT),
        (("token", "issue", "nobody"), NO_ACCOUNT),
        (
            ("instance", "delete", "acme", "nothing", "--confirm", "nothing"),
            NO_INSTANCE,
        ),
        (
            ("token", "revoke", "t000000000000"),
            NO_TOKEN,
        ),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(operate: Run, arguments: tuple[str, ...], sentence: str) -> None:
    operate("account", "create", "acme")
    operate("instance", "create", "acme", "taken")
    refused = operate(*arguments)
    assert (refused.code, refused.out, refused.err) == (1, "", f"presence-gateway: {sentence}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("account", "create", "a name"),
        ("account", "create", ""),
        ("account", "create", "acme", "--per-minute", "0"),
        ("instance", "create", "acme", "x" * 101),
        ("instance", "create", "acme", "a/b"),
        ("instance", "create", "acme", "sales", "--token", "short"),
        ("instance", "create", "acme", "sales", "--token", "pgi_looks-like-one-of-ours"),
        ("instance", "create", "acme", "sales", "--upstream-url", "http://waha"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "waha"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "telegram", "--upstream-url", "http://t"),
        ("instance", "create", "acme", "sales", "--upstream-kind", "waha", "--upstream-url", "ftp://waha"),
        ("send", "sales", NUMBER, "typing"),
        ("dev", "--port", "65536"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(operate: Run, arguments: tuple[str, ...]) -> None:
    assert operate(*arguments).code == 2
    assert operate("account", "list", "--json").json == {"accounts": []}


# Without an installation


def test_without_a_redis_the_operator_is_told_what_to_set(run: Run) -> None:
    refused = run("account", "list")
    assert refused.code == 1
    assert "PRESENCE_REDIS__URL" in refused.err
    assert "presence-gateway dev" in refused.err


def test_a_redis_that_is_down_is_named_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_REDIS__URL", "redis://user:hidden@127.0.0.1:1/0")
    monkeypatch.setenv("PRESENCE_SECRETS__PEPPER", "p")
    refused = run("account", "list")
    assert refused.code == 1
    assert "Redis does not answer at redis://user:***@127.0.0.1:1/0" in refused.err
    assert "hidden" not in refused.err


@pytest.mark.parametrize("command", [("serve",), ("account", "create", "acme")])
def test_no_token_is_ever_hashed_without_a_pepper(
    run: Run, command: tuple[str, ...], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESENCE_REDIS__URL", redis_url)
    refused = run(*command)
    assert refused.code == 1
    assert "[secrets] pepper" in refused.err


def test_send_says_where_it_found_nobody(run: Run) -> None:
    refused = run("send", "sales", NUMBER, "typing", "--token", "t", "--url", "http://127.0.0.1:1")
    assert refused.code == 1
    assert "cannot reach http://127.0.0.1:1" in refused.err


# Settings and keys


def test_check_config_prints_what_is_in_effect_with_secrets_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_LIMITS__PER_MINUTE", "7")
    monkeypatch.setenv("PRESENCE_SECRETS__PEPPER", "hidden")
    checked = run("check-config")
    assert checked.code == 0
    assert "[limits]\nper_minute = 7\n" in checked.out
    assert 'pepper = "***"' in checked.out
    assert "hidden" not in checked.out
    assert "[redis] url (PRESENCE_REDIS__URL): needed" in checked.err
    assert run("check-config", "--json").json["settings"]["limits"]["per_minute"] == 7


def test_check_config_reports_every_error_at_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[http]\nport = -1\n[log]\nlevel = "loud"\n[limit]\n')
    checked = run("check-config", str(file))
    assert checked.code == 1
    for wrong in ("[http] port", "[log] level", "[limit]"):
        assert wrong in checked.err
    assert len(run("check-config", str(file), "--json").json["problems"]) == 3


def test_check_config_knows_the_upstreams(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_UPSTREAM__KIND", "telegram")
    monkeypatch.setenv("PRESENCE_UPSTREAM__URL", "http://t")
    checked = run("check-config")
    assert checked.code == 1
    assert "[upstream] kind: there is no such kind; known are evolution, evolution_go" in checked.err


def test_generated_keys_are_a_secrets_file_that_loads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets.toml").write_text(run("keys", "generate").out)
    monkeypatch.setenv("PRESENCE_SECRETS__FILE", "secrets.toml")
    assert run("check-config").code == 0
    assert run("keys", "generate", "--json").json.keys() == {"pepper", "encryption_keys", "admin_key"}


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"presence-gateway {VERSION}\n"
