"""The pages' commands that connect an upstream, as a shell reads them: account first, and the key arrives whole."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from rig import ROOT

PAGES = ["README.md", "docs/upstreams.md", "docs/recipes.md"]
STUB = """#!/bin/sh
printf '%s\\n' "$PRESENCE_UPSTREAM_CREDENTIAL" "$*" >> "$SAID"
"""
KEY = "$2b$10$Q7e.B~/ with `all` that \"a\" shell 'reads'"
VARIABLE = re.compile(r"\$([A-Z][A-Z_]+)")


def blocks(page: str) -> list[str]:
    """A page's commands that make an instance."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(?:sh|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in found if "instance create" in block]


def variables(block: str) -> set[str]:
    """What a block takes from the environment for the credential; what it sets itself is not among them."""
    told = re.findall(r'^PRESENCE_UPSTREAM_CREDENTIAL="([^"]*)"', block, re.MULTILINE)
    return set(VARIABLE.findall(" ".join(told))) - set(re.findall(r"^([A-Z_]+)=", block, re.MULTILINE))


@pytest.mark.parametrize("block", [pytest.param(block, id=page) for page in PAGES for block in blocks(page)])
def test_the_credential_arrives_as_it_was_given(block: str, tmp_path: Path) -> None:
    (tmp_path / "presence-gateway").write_text(STUB)
    (tmp_path / "presence-gateway").chmod(0o755)
    given = dict.fromkeys(variables(block), KEY)
    environ = (
        {"WHATSAPP_URL": "http://127.0.0.1:1"}
        | given
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID": str(tmp_path / "said")}
    )
    command = re.split(r"\n\n+", block)[0]  # what follows speaks to other servers
    subprocess.run(["sh", "-euc", command], env=environ, check=True)
    *_, credential, arguments = (tmp_path / "said").read_text().splitlines()
    assert "instance create" in arguments
    own = re.search(r"^\w+='(.*)'$", block, re.MULTILINE)
    if given:
        assert KEY in credential
    elif own:
        assert credential == own[1]
    else:
        assert credential in {"", "any"}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_makes_an_instance_of_an_account_that_it_has_not_made(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert 0 <= text.index("presence-gateway account create acme") < text.index("instance create acme")


@pytest.mark.parametrize("page", PAGES)
def test_no_example_puts_a_dollar_of_a_key_into_double_quotes(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r'"[^"\n]*\$2b\$[^"\n]*"', text) == []
