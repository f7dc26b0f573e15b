"""What is shipped of Swagger UI is what npm has under the version that is pinned, with its licence."""

import base64
import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "gateway/api/viewer/swagger_ui"
PIN = json.loads((FOLDER / "pin.json").read_text())


def test_every_file_is_the_one_that_was_pinned() -> None:
    shipped = {file.name: file.read_bytes() for file in FOLDER.iterdir() if file.name != "pin.json"}
    hashes = {name: base64.b64encode(hashlib.sha512(of).digest()).decode() for name, of in shipped.items()}
    assert {name: f"sha512-{of}" for name, of in hashes.items()} == PIN["files"], "make viewer"


def test_the_licence_is_beside_it() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "SmartBear" in (FOLDER / "NOTICE").read_text()
    assert "DOMPurify" in (FOLDER / "swagger-ui-bundle.js.LICENSE.txt").read_text()


def test_the_docs_name_the_version() -> None:
    assert f"Swagger UI {PIN['version']}" in (ROOT / "docs/api.md").read_text()
