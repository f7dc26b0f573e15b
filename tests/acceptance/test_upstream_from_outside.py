"""A kind of upstream that another package brings: offered everywhere, and spoken to, without a line of ours."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.caller import Client, jid, new_number
from installation import ROOT, Installation, installed, outside_environment

MODULE = '''
from gateway.upstreams.base import PEOPLE_AND_GROUPS, Adapter, Call, Capabilities


class Pigeon(Adapter):
    """Ours are carried on foot: the sandbox by another name, which shows no recording."""

    kind = "pigeon"
    name = "Carrier Pigeon"
    capabilities = Capabilities(chats=PEOPLE_AND_GROUPS, recording=False, refresh_s=3.5)

    def presence(self, target, chat, state):
        return Call(
            f"/instances/{target.session_path}/presence",
            {"chat": chat.jid, "state": state.value},
            {"X-Loft": target.credential},
        )
'''


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path of every process, as `pip install` would leave it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "pigeon.py").write_text(MODULE)
    info = folder / "pigeon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[presence_gateway.upstreams]\npigeon = pigeon:Pigeon\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        yield folder


@pytest.fixture(scope="module")
def services(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("pigeons")) as services:
        yield services


def run(*command: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=outside_environment() | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.usefixtures("outside")
def test_the_command_line_offers_it_and_the_settings_take_it() -> None:
    assert "pigeon" in run("-m", "gateway", "instance", "create", "--help", COLUMNS="200")
    default = {"PRESENCE_UPSTREAM__KIND": "pigeon", "PRESENCE_UPSTREAM__URL": "http://loft"}
    assert json.loads(run("-m", "gateway", "check-config", "--json", **default))["ok"] is True
    assert "known are evolution, evolution_go, gowa, pigeon," in run(
        "-m", "gateway", "check-config", **{**default, "PRESENCE_UPSTREAM__KIND": "owl"}
    )


@pytest.mark.usefixtures("outside")
def test_the_page_of_upstreams_gets_its_row() -> None:
    row = "| `pigeon` | Carrier Pigeon | phone, group, lid | no | no | no | no | 1 s | 3.5 s | `X-Loft` | JID |\n"
    assert row in run("docs/upstreams.py")
    assert row not in (ROOT / "docs/upstreams.md").read_text()


@pytest.mark.usefixtures("outside")
def test_two_adapters_of_one_kind_are_refused_by_name(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "twin.py").write_text(MODULE)
    info = tmp_path / "twin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[presence_gateway.upstreams]\npigeon = twin:Pigeon\n")
    said = run("-m", "gateway", "check-config", PYTHONPATH=f"{outside}{os.pathsep}{tmp_path}")
    assert said.rstrip().splitlines()[-1].startswith("RuntimeError: upstream kind 'pigeon' is claimed by ")


async def test_the_console_and_openapi_offer_it_and_an_instance_on_it_is_served(services: Installation) -> None:
    async with Client(services) as client:
        listed = {one["kind"]: one for one in json.loads(await client.operators("/admin/upstreams"))["upstreams"]}
        assert listed["pigeon"]["name"] == "Carrier Pigeon"
        assert (listed["pigeon"]["capabilities"]["recording"], listed["pigeon"]["capabilities"]["refresh_s"]) == (
            False,
            3.5,
        )
        described = (await client.request("GET", "/openapi.json")).body
        body = described["paths"]["/api/instance/new"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert "pigeon" in body["properties"]["upstream"]["anyOf"][0]["properties"]["kind"]["enum"]

        tenant = services.create_tenant(upstream={"kind": "pigeon", "url": services.sandbox_url}, instance="loft")
        number = new_number()
        assert (await client.show(tenant, number, "recording", 5)).status == 501
        assert (await client.show(tenant, number, "typing", 1)).status == 200
        pause = await client.wait_for_pause(jid(number), within=5)
        assert pause.instance == "loft"
