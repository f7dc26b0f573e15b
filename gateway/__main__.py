"""`python -m gateway` is `presence-gateway`."""

from gateway.commands.cli import main

main()
