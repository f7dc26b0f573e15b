"""What keeps a command from doing what it was told."""


class CommandFailed(Exception):
    """It cannot be done; the message says why, and what to do."""
