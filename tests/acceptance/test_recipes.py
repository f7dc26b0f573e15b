"""docs/recipes.md, each as it stands there, on a running installation: typing is held until its message comes."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest
from acceptance.caller import Client, eventually, jid
from installation import Installation, outside_environment
from recipes import codes

NODE = ["node", "--input-type=module", "-e"]
PYTHON = [sys.executable, "-c"]

REPLAY = """
const node = JSON.parse(process.env.NODE_JSON);
// As n8n reads a parameter: what begins with `=` is a template, and what stands in double braces is JavaScript.
const read = (text) => !text.startsWith("=") ? text : text.slice(1).replace(/{{(.*?)}}(?!})/gs, (_, code) =>
  new Function("$env", "$json", `return (${code})`)(process.env, { number: process.env.NUMBER }));
const { method, url, headerParameters, jsonBody, options } = node.parameters;
const headers = Object.fromEntries(headerParameters.parameters.map(({ name, value }) => [name, read(value)]));
const signal = AbortSignal.timeout(options.timeout);
const answer = await fetch(read(url), { method, headers, body: JSON.stringify(JSON.parse(read(jsonBody))), signal });
if (!answer.ok) throw new Error(await answer.text());
"""


def run(
    command: list[str], script: str, installation: Installation, number: str, **changes: str
) -> "subprocess.CompletedProcess[str]":
    """Run a recipe for the demo's instance; in the sandbox's place of a WhatsApp API."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environ = {
        "GATEWAY_URL": installation.url,
        "GATEWAY_TOKEN": str(installation.ready["instance_token"]),
        "INSTANCE": "demo",
        "NUMBER": number,
        "WHATSAPP_URL": installation.sandbox_url,
        **changes,
    }
    return subprocess.run(
        [*command, script],
        env=outside_environment() | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def states(client: Client, number: str) -> list[str]:
    return [call.state for call in await client.calls_for(jid(number))]


async def ends_paused(client: Client, number: str) -> bool:
    await client.wait_for_pause(jid(number), within=5)
    return await states(client, number) == ["typing", "paused"] and await client.stays_paused(jid(number))


@pytest.mark.parametrize(
    ("section", "language", "command"),
    [("A bot in Python", "python", PYTHON), ("A bot in JavaScript", "javascript", NODE)],
)
async def test_a_bots_typing_ends_with_its_message(
    installation: Installation, client: Client, number: str, section: str, language: str, command: list[str]
) -> None:
    (script,) = codes(section, language)
    done = await asyncio.to_thread(run, command, script, installation, number)
    assert (done.returncode, done.stderr) == (0, "")
    assert await ends_paused(client, number)


@pytest.mark.parametrize(
    ("section", "language", "command"),
    [("A bot in Python", "python", PYTHON), ("A bot in JavaScript", "javascript", NODE)],
)
async def test_a_bot_whose_message_fails_stops_typing_itself(
    installation: Installation, client: Client, number: str, section: str, language: str, command: list[str]
) -> None:
    (script,) = codes(section, language)
    # It has no such route, and reports nothing.
    done = await asyncio.to_thread(run, command, script, installation, number, WHATSAPP_URL=f"{installation.url}/none")
    assert done.returncode != 0
    assert await ends_paused(client, number)


@pytest.mark.parametrize(
    ("section", "language", "command"),
    [("A bot in Python", "python", PYTHON), ("A bot in JavaScript", "javascript", NODE)],
)
async def test_a_bot_answers_even_if_the_gateway_does_not(
    installation: Installation, client: Client, number: str, section: str, language: str, command: list[str]
) -> None:
    (script,) = codes(section, language)
    done = await asyncio.to_thread(run, command, script, installation, number, GATEWAY_URL="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert "presence:" in done.stderr
    assert await states(client, number) == []


async def test_n8ns_nodes_make_the_requests_that_they_describe(
    installation: Installation, client: Client, number: str
) -> None:
    (workflow,) = codes("n8n", "json")
    for node, state in zip(json.loads(workflow)["nodes"], ("typing", "paused"), strict=True):
        done = await asyncio.to_thread(run, NODE, REPLAY, installation, number, NODE_JSON=json.dumps(node))
        assert (done.returncode, done.stderr) == (0, "")
        assert (await states(client, number))[-1] == state


async def test_a_ryzeapi_client_changes_its_base_url_and_its_token(
    installation: Installation, client: Client, number: str
) -> None:
    """On an instance of the kind `ryzeapi`, for which the sandbox stands in."""
    upstream = {"kind": "ryzeapi", "url": installation.sandbox_url, "session": "ryze", "credential": "a-credential"}
    tenant = await asyncio.to_thread(installation.create_tenant, upstream=upstream)
    (script,) = codes("A RyzeAPI client, by its base URL", "python")
    names = {"INSTANCE": tenant.instance, "GATEWAY_TOKEN": tenant.instance_token}
    done = await asyncio.to_thread(run, PYTHON, script, installation, number, **names)
    assert (done.returncode, done.stderr) == (0, "")

    async def shown() -> bool | None:
        return await states(client, number) == ["typing", "paused"] or None

    assert await eventually(shown, within=5, what="typing, and its end by the message that passed through")
