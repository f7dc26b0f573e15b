"""What keeps a command from doing what it was told, and the subcommand that helps, behind a refusal."""

from gateway.presence.errors import AccountNotFound, InstanceNotFound, TokenNotFound


class CommandFailed(Exception):
    """It cannot be done; the message says why, and what to do."""


_ADVICE: dict[type[Exception], str] = {
    AccountNotFound: "`account create NAME` makes one, `account list` shows those that are there",
    InstanceNotFound: "`instance create ACCOUNT NAME` makes one, `instance list ACCOUNT` shows those that are there",
    TokenNotFound: "`token list ACCOUNT` shows the ids of those that are there",
}


def advised(error: Exception) -> str:
    """Word a refusal, with what helps where something of the operator's hand is not there."""
    advice = _ADVICE.get(type(error))
    return f"{error}; {advice}" if advice else str(error)
