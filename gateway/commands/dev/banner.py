"""What the runner prints when everything serves: where it is, the demo's tokens, and a line to paste."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gateway import VERSION
from gateway.commands.dev.demo import Demo
from gateway.commands.dev.site import Site


def show(site: Site, demo: Demo, data: Path) -> None:
    """Print it to standard output; the log goes to standard error. Plain where that is not a terminal."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    rows = [
        ("API", f"[link]{site.url}[/]", ""),
        ("Sandbox phone", f"[link]{site.sandbox_url}/?instance={demo.instance}[/]", "open it in a browser"),
        ("Metrics", f"[link]{site.admin_url}/metrics[/]", f"the worker's: {site.worker_url}/metrics"),
        ("Account token", demo.account_token, "every instance of the account demo"),
        ("Instance token", demo.instance_token, f"the instance {demo.instance}"),
        ("Data", escape(str(data)), "keys, tokens and promises; kept until you remove it"),
    ]
    console.print(f"\n[bold green]Presence gateway {VERSION}[/] serves. Ctrl-C stops all of it.\n")
    for name, value, remark in rows:
        console.print(f"  [bold]{name:<15}[/] {value}" + (f"  [dim]({escape(remark)})[/]" if remark else ""))
    console.print("\nOpen the sandbox phone, paste this line, and watch it type for five seconds:\n")
    console.print(f"[cyan]{escape(_curl(site, demo))}[/]\n")
    sys.stdout.flush()


def _curl(site: Site, demo: Demo) -> str:
    body = '{"number": "5511999999999", "state": "typing", "duration": 5}'
    return f"""curl {site.url}/api/chat/presence/{demo.instance} -H "token: {demo.instance_token}" -d '{body}'"""
