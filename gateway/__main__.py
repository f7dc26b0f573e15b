"""`python -m gateway` is `presence-gateway`."""

from gateway.cli import main

main()
