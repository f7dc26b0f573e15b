"""The WhatsApp HTTP APIs: how each is called (`adapters`), and how none can hold up another."""
