"""What the runner prints when everything serves: where it is, the demo's tokens, and a line to paste."""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gateway import SERVICE, VERSION
from gateway.commands.dev.demo import Demo
from gateway.commands.dev.site import Site


def show(site: Site, demo: Demo, data: Path) -> None:
    """Print it to standard output; the log goes to standard error. Plain where that is not a terminal."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    rows = [
        ("API", f"[link]{site.url}[/]", ""),
        ("API reference", f"[link]{site.url}/docs#{_signed_in(demo)}[/]", "read it and try it, signed in"),
        ("Sandbox phone", f"[link]{site.sandbox_url}/?instance={demo.instance}[/]", "open it in a browser"),
        (
            "Console",
            f"[link]{site.admin_url}/console[/]",
            "sign in with the account token, or admin_key of secrets.toml in Data",
        ),
        ("Metrics", f"[link]{site.admin_url}/metrics[/]", f"the worker's: {site.worker_url}/metrics"),
        ("Account token", demo.account_token, "every instance of the account demo"),
        ("Instance token", demo.instance_token, f"the instance {demo.instance}"),
        ("Data", escape(str(data)), "keys, tokens and promises; kept until you remove it"),
        ("Commands", escape(f"{_program(data)} account list"), "from another terminal; --help lists all"),
    ]
    console.print(f"\n[bold green]Presence gateway {VERSION}[/] serves. Ctrl-C stops all of it.\n")
    for name, value, remark in rows:
        console.print(f"  [bold]{name:<15}[/] {value}" + (f"  [dim]({escape(remark)})[/]" if remark else ""))
    console.print("\nOpen the sandbox phone, paste this line, and watch it type for five seconds:\n")
    console.print(f"[cyan]{escape(_curl(site, demo))}[/]\n")
    sys.stdout.flush()


def _program(data: Path) -> str:
    """Say how commands are called here: by the path that this one was called by, and for this data folder."""
    called = shutil.which(sys.argv[0])
    program = sys.argv[0] if called and called != shutil.which(SERVICE) else SERVICE
    words = [program] if data == Path("data") else [program, "--data", str(data)]
    return shlex.join(words)


def _signed_in(demo: Demo) -> str:
    """Word what the reference takes from its address; a browser sends none of it to anybody."""
    return f"token={demo.account_token}&instance={demo.instance}"


def _curl(site: Site, demo: Demo) -> str:
    body = '{"number": "5511999999999", "state": "typing", "duration": 5}'
    return f"""curl {site.url}/api/chat/presence/{demo.instance} -H "token: {demo.instance_token}" -d '{body}'"""
