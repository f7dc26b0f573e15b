"""The WhatsApp HTTP APIs that are told: how each is called (`adapters`), and how none can hold up another."""
