"""Fetches the API reference's viewer, Swagger UI, from npm into the package, and writes down exactly what came.

python docs/viewer.py [version]     without one, the pinned version, which must be what it was
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "gateway/api/viewer/swagger_ui"
PIN = FOLDER / "pin.json"
PACKAGE = "swagger-ui-dist"
FILES = ("LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css")


def main(version: str = "") -> None:
    """Put the files of `version` in place of those that are there."""
    pinned = json.loads(PIN.read_text(encoding="utf-8"))
    version = version or pinned["version"]
    with tempfile.TemporaryDirectory() as folder:
        packed = _download(version, Path(folder))
        if version == pinned["version"] and integrity(packed.read_bytes()) != pinned["integrity"]:
            sys.exit(f"{PACKAGE} {version} is not what it was when it was pinned")
        with tarfile.open(packed) as archive:
            for name in FILES:
                file = archive.extractfile(f"package/{name}")
                assert file is not None
                (FOLDER / name).write_bytes(file.read())
        PIN.write_text(json.dumps(_pin(version, packed), indent=2) + "\n", encoding="utf-8")


def integrity(content: bytes) -> str:
    """Return the hash of `content` as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def _download(version: str, folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{version}"], cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603, S607
    return next(folder.glob("*.tgz"))


def _pin(version: str, packed: Path) -> dict[str, object]:
    return {
        "package": PACKAGE,
        "version": version,
        "integrity": integrity(packed.read_bytes()),
        "files": {name: integrity((FOLDER / name).read_bytes()) for name in FILES},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
