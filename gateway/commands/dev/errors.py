"""What keeps the runner from running."""


class DevError(Exception):
    """Everything cannot be started; the message says why and what to do."""
