"""One small file for each WhatsApp HTTP API; `client` speaks HTTP, `base` is what an adapter declares."""
