"""The exception tree; each error knows its HTTP status and its exact message.

GatewayError
├── Unauthorized (401)
│   ├── MissingToken
│   ├── InvalidToken
│   ├── InvalidAccountToken
│   ├── MissingKey
│   └── InvalidKey
├── Forbidden (403)
│   ├── InstanceTokenMismatch
│   ├── QuotaExceeded
│   ├── TokenQuotaExceeded
│   ├── OperatorOnly
│   ├── AdminOff
│   └── EncryptionOff
├── BodyTooSlow (408)
├── BodyTooLarge (413)
├── CallerLeft (499)
├── RateLimited (429)
│   └── TooManyFailures
├── BadRequest (400)
│   ├── InvalidBody
│   ├── NumberRequired
│   ├── StateRequired
│   ├── InvalidState
│   ├── InvalidNumber
│   ├── InvalidDuration
│   ├── NameRequired
│   ├── InvalidName
│   ├── InvalidAccountName
│   ├── InvalidLabel
│   ├── InvalidOwnToken
│   ├── InvalidGrace
│   ├── InvalidUpstream
│   ├── UpstreamNotAllowed
│   ├── InvalidFigure
│   ├── ConfirmationNeeded
│   └── BackupUnreadable
├── NotFound (404)
│   ├── InstanceNotFound
│   ├── AccountNotFound
│   ├── ChatNotFound
│   └── TokenNotFound
├── Conflict (409)
│   └── ChangedMeanwhile
├── StateUnsupported (501)
├── RouteUnsupported (501)
├── UpstreamRejected (502)
│   ├── UpstreamCredentialRefused
│   └── UpstreamCredentialSealed
├── InstanceNotConnected (503)
├── UpstreamSilent (504)
└── Unavailable (503)
    ├── Overloaded
    ├── StoreUnavailable
    └── UpstreamUnavailable
"""

from typing import ClassVar


class GatewayError(Exception):
    """Anything the gateway refuses; the API turns it into the envelope of contract section 1."""

    status: ClassVar[int] = 500
    message: str = "Internal server error"
    retry_after_s: int | None = None

    def __init__(self, message: str | None = None, *, retry_after_s: int | None = None) -> None:
        """Override the class's message or its advice on when to try again (whole seconds)."""
        if message is not None:
            self.message = message
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        super().__init__(self.message)


class Unauthorized(GatewayError):
    """The caller did not prove who they are."""

    status = 401


class MissingToken(Unauthorized):
    """None of the three places held a token."""

    message = "Missing token in header, Authorization header, or query parameter"


class InvalidToken(Unauthorized):
    """The token is malformed, unknown, revoked or expired, or its account is suspended."""

    message = "Invalid token"


class InvalidAccountToken(Unauthorized):
    """An instance token where only an account token will do."""

    message = "Invalid account token"


class MissingKey(Unauthorized):
    """The operator's port was called without a key or token."""

    message = "Missing operator key or account token"


class InvalidKey(Unauthorized):
    """Neither the operator's key nor an account token that is valid now."""

    message = "Invalid operator key or account token"


class Forbidden(GatewayError):
    """We know who is calling, and they may not."""

    status = 403


class InstanceTokenMismatch(Forbidden):
    """An instance token on any instance but its own, whether that one exists or not."""

    message = "Instance token does not match the requested instance"


class QuotaExceeded(Forbidden):
    """The account has as many instances as it may."""

    message = "Account instance quota exceeded"


class TokenQuotaExceeded(Forbidden):
    """The account has as many tokens of its own as it may."""

    message = "Account token quota exceeded"


class OperatorOnly(Forbidden):
    """An account token where only the operator's key will do."""

    message = "Only the operator may do this"


class AdminOff(Forbidden):
    """No operator's key is configured, so nobody is the operator."""

    message = "The operator's API is off: no operator key is configured"


class EncryptionOff(Forbidden):
    """No encryption key is configured, and a credential is kept encrypted or not at all."""

    message = "Upstream credentials cannot be kept: no encryption key is configured"


class BodyTooSlow(GatewayError):
    """The body did not arrive within its time."""

    status = 408
    message = "Request body did not arrive in time"


class BodyTooLarge(GatewayError):
    """The body is longer than what may pass."""

    status = 413
    message = "Request body too large"


class CallerLeft(GatewayError):
    """The caller closed their connection; nobody reads this answer."""

    status = 499
    message = "Client closed the request"


class RateLimited(GatewayError):
    """The token's minute is spent, or an address guessed too many tokens."""

    status = 429
    message = "Rate limit exceeded. Try again later."


class TooManyFailures(RateLimited):
    """This address sent too many unknown tokens; nobody is named, so there is no quota to show."""


class BadRequest(GatewayError):
    """The request's body cannot be obeyed as it is."""

    status = 400


class InvalidBody(BadRequest):
    """The body is not a JSON object, or a field has the wrong type."""

    message = "Invalid request body"


class NumberRequired(BadRequest):
    """`number` is missing or empty."""

    message = "Number is required"


class StateRequired(BadRequest):
    """`state` is missing or empty."""

    message = "State is required. Use 'typing', 'recording', or 'pause'"


class InvalidState(BadRequest):
    """`state` is none of the documented words."""

    message = "Invalid state. Use 'typing', 'recording', or 'pause'"


class InvalidNumber(BadRequest):
    """`number` is neither a phone number nor a JID, or WhatsApp does not know it."""

    message = "Invalid number"


class InvalidDuration(BadRequest):
    """`duration` is negative."""

    message = "Invalid duration. Use an integer from 0 to 60"


class NameRequired(BadRequest):
    """`name` is missing or empty."""

    message = "Instance name is required"


class InvalidName(BadRequest):
    """`name` is none that an instance may have."""

    message = "Invalid instance name"


class InvalidAccountName(BadRequest):
    """`name` is missing, or none that an account may have."""

    message = "Invalid account name. Use 1 to 100 letters, digits, dots, dashes or underscores"


class InvalidLabel(BadRequest):
    """A token's name is too long, or cannot be printed."""

    message = "Invalid token name. Use at most 100 printable characters"


class InvalidOwnToken(BadRequest):
    """The caller's own token is too short, too long, holds other characters, or looks like one of ours."""

    message = "Invalid instance token. Use 16 to 256 printable characters without spaces"


class InvalidGrace(BadRequest):
    """`grace` is negative or longer than a day."""

    message = "Invalid grace. Use an integer from 0 to 86400"


class InvalidUpstream(BadRequest):
    """`upstream` names no kind that we know, no URL, or a session or figure that it cannot have."""

    message = "Invalid upstream. Give a known kind, an http or https url, and a session of letters, digits and _ . -"


class UpstreamNotAllowed(BadRequest):
    """The operator allows no such address, by name or by what the name resolves to."""

    message = "Upstream URL is not allowed"


class InvalidFigure(BadRequest):
    """A limit, a quota or a count is out of its bounds."""

    message = "Invalid figure. Use an integer within the documented bounds"


class ConfirmationNeeded(BadRequest):
    """Deleting asks for the name again, and it was not that name."""

    message = "Confirm the deletion with the name"


class BackupUnreadable(BadRequest):
    """The file is no backup of ours, is cut short, or was made under another pepper."""


class NotFound(GatewayError):
    """Nothing of that name or id, as far as this caller may know."""

    status = 404


class InstanceNotFound(NotFound):
    """The account has no instance of that name; whether another account has one is never told."""

    message = "Instance not found"


class AccountNotFound(NotFound):
    """There is no such account; to an account every other one is none."""

    message = "Account not found"


class ChatNotFound(NotFound):
    """No chat of this id shows anything, or was told anything lately, on the instance."""

    message = "Chat not found"


class TokenNotFound(NotFound):
    """There is no such token, or it is being replaced already."""

    message = "Token not found"


class Conflict(GatewayError):
    """The name or the token is taken, or another account uses the session."""

    status = 409
    message = "Instance already exists"


class ChangedMeanwhile(Conflict):
    """Somebody else changed the same account all the time."""

    message = "The account was changed at the same moment; try again"


class StateUnsupported(GatewayError):
    """The instance's upstream has no such indicator."""

    status = 501

    def __init__(self, state: str) -> None:
        """Name the state as the caller wrote it, lower-cased."""
        super().__init__(f"Presence '{state}' is not supported by this instance's upstream")


class RouteUnsupported(GatewayError):
    """The instance's upstream is of another kind than the one whose routes pass through."""

    status = 501
    message = "This route is not supported by this instance's upstream"


class UpstreamRejected(GatewayError):
    """The upstream answered with an error that is the operator's business, not the caller's."""

    status = 502
    message = "Upstream rejected the request"


class UpstreamCredentialRefused(UpstreamRejected):
    """The upstream refused the operator's credential; the log line names the instance, the caller learns nothing."""


class UpstreamCredentialSealed(UpstreamRejected):
    """No configured key opens the instance's credential; the log line names the instance, the caller learns nothing."""


class InstanceNotConnected(GatewayError):
    """The WhatsApp session behind the instance is closed, logged out or not started."""

    status = 503
    message = "Instance is not connected to WhatsApp"


class UpstreamSilent(GatewayError):
    """The upstream may or may not have acted; whatever it showed will be paused."""

    status = 504
    message = "Upstream did not answer in time"


class Unavailable(GatewayError):
    """Nothing was done and nothing is owed; the same request may work soon."""

    status = 503
    message = "Service temporarily unavailable"
    retry_after_s = 1


class Overloaded(Unavailable):
    """This process has as many commands under way as it can finish in time."""


class StoreUnavailable(Unavailable):
    """Redis did not answer, so no promise can be made."""


class UpstreamUnavailable(Unavailable):
    """The upstream could not be reached at all, or its circuit is open."""

    retry_after_s = 2
