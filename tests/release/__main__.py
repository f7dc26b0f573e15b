"""`make dist`: builds both packages into `dist/`, and has them checked by the tools of those who publish them."""

import subprocess
import sys

from installation import ROOT

from release.packages import build

if __name__ == "__main__":
    into = ROOT / "dist"
    for old in into.glob("presence_gateway-*"):
        old.unlink()
    built = build(into)
    files = [str(built.wheel), str(built.sdist)]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    subprocess.run([sys.executable, "-m", "check_wheel_contents", files[0]], cwd=ROOT, check=True)
