"""One file for each WhatsApp HTTP API: its calls, its capabilities, and how its answers read."""
