"""What `make dist` built: the same bytes each time, and a wheel that does its job where nothing else is installed."""

import asyncio
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from acceptance.caller import NOISE_S, Client, jid, new_number
from aiohttp import web
from installation import ROOT, Installation, outside_environment
from operated import Tenant

from gateway import VERSION
from release.packages import Packages, build, install

DURATION_S = 1
SERVED = b"POST /api/chat/presence/{instance}"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Those of `make dist`, else such as it would build."""
    given = os.environ.get("PACKAGES")
    return Packages.of(ROOT / given) if given else build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def programs(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel and what it asks for."""
    return install(packages, tmp_path_factory.mktemp("plain") / "venv")


@pytest.fixture(scope="session")
def traced(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the extra `[otel]`."""
    return install(packages, tmp_path_factory.mktemp("traced") / "venv", "[otel]")


@asynccontextmanager
async def serving(programs: Path, folder: Path, **settings: str) -> AsyncIterator[Client]:
    """`presence-gateway dev`, as it is installed, in an empty folder."""
    (elsewhere := folder / "elsewhere").mkdir()
    installation = Installation(folder, (str(programs / "presence-gateway"),), elsewhere, settings)
    try:
        await asyncio.to_thread(installation.start)
        async with Client(installation) as client:
            yield client
    finally:
        await asyncio.to_thread(installation.close)


async def show_and_see_it_end(client: Client) -> None:
    """The main job: an indicator appears, and goes at its time."""
    ready = client.installation.ready
    tenant = Tenant("demo", ready["account_token"], "demo", ready["instance_token"])
    number = new_number()
    assert (await client.show(tenant, number, "typing", DURATION_S)).status == 200
    await client.wait_for_pause(jid(number), within=DURATION_S + NOISE_S)
    assert [call.state for call in await client.calls_for(jid(number))] == ["typing", "paused"]


def test_whoever_builds_this_commit_again_gets_the_same_bytes(packages: Packages, tmp_path: Path) -> None:
    again = build(tmp_path)
    assert again.wheel.read_bytes() == packages.wheel.read_bytes()
    assert again.sdist.read_bytes() == packages.sdist.read_bytes()


def test_the_source_package_builds_both_anew_wherever_it_is_unpacked(packages: Packages, tmp_path: Path) -> None:
    with tarfile.open(packages.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build(tmp_path / "again", source)
    assert again.wheel.read_bytes() == packages.wheel.read_bytes()
    assert again.sdist.read_bytes() == packages.sdist.read_bytes()


def test_the_wheel_holds_every_file_of_the_code(packages: Packages) -> None:
    files = [path for part in ("gateway", "workers") for path in (ROOT / part).rglob("*") if path.is_file()]
    listed = {path.relative_to(ROOT).as_posix() for path in files if path.parent.name != "__pycache__"}
    with ZipFile(packages.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == listed


def test_the_wheel_holds_the_licence_of_everything_in_it(packages: Packages) -> None:
    with ZipFile(packages.wheel) as wheel:
        held = {name.partition("/licenses/")[2] for name in wheel.namelist() if "/licenses/" in name}
    viewer = "gateway/api/viewer/swagger_ui"
    library = {f"{viewer}/LICENSE", f"{viewer}/NOTICE", f"{viewer}/swagger-ui-bundle.js.LICENSE.txt"}
    assert held == {"LICENSE"} | library


def test_the_installed_program_says_the_wheels_version(packages: Packages, programs: Path, tmp_path: Path) -> None:
    said = subprocess.check_output([programs / "presence-gateway", "--version"], cwd=tmp_path, text=True)
    assert said == f"presence-gateway {VERSION}\n"
    assert f"-{VERSION}-" in packages.wheel.name


def test_the_installed_program_is_the_wheels_and_not_this_checkout(programs: Path, tmp_path: Path) -> None:
    ask = "import gateway, workers; print(gateway.__file__, *workers.__path__)"
    told = subprocess.check_output([programs / "python", "-c", ask], cwd=tmp_path, text=True).split()
    assert all(place.startswith(str(programs.parent)) for place in told)


async def test_the_installed_program_does_its_job_from_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    async with serving(programs, tmp_path) as client:
        await show_and_see_it_end(client)


def test_without_the_extra_that_traces_need_the_error_names_it(programs: Path, tmp_path: Path) -> None:
    environ = outside_environment() | {"PRESENCE_TRACING__EXPORT": "true"}
    command = [str(programs / "presence-gateway"), "dev", "--port", "0", "--admin-port", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'presence-gateway[otel]'" in done.stderr


async def test_with_the_extra_spans_reach_a_collector(traced: Path, tmp_path: Path) -> None:
    received: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    try:
        settings = {"PRESENCE_TRACING__EXPORT": "true", "PRESENCE_TRACING__ENDPOINT": endpoint}
        async with serving(traced, tmp_path, **settings) as client:
            await show_and_see_it_end(client)
    finally:
        await runner.cleanup()
    spans = b"".join(received)
    assert SERVED in spans
    assert b"wake paused" in spans
