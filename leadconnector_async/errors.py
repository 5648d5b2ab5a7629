"""Every exception of this package, grouped by what the caller can do about it.

    LeadConnectorError
    ├── UsageError (ValueError)                     mend the call; nothing was sent
    │   ├── ConfigurationError                      token, base URL, location, policy, file
    │   ├── InvalidContactError                     this row cannot be sent
    │   ├── KeyConflictError                        another contact was put into the outbox under this key
    │   └── ClientStateError (RuntimeError)         not open, closed, or on another event loop
    ├── CallError                                   a call was tried and did not succeed
    │   ├── TransportError (ConnectionError)        there is no complete answer
    │   │   ├── ConnectFailedError                  nothing was sent: safe to repeat any call
    │   │   ├── ConnectionLostError                 it may or may not have been applied
    │   │   └── CallTimeoutError (TimeoutError)     it may or may not have been applied
    │   ├── InvalidResponseError                    answered, but not with what the API promises
    │   └── APIError                                the API refused: status, messages, trace_id
    │       ├── BadRequestError                     400, and other 4xx without a class of their own
    │       │   ├── DuplicateContactError           carries contact_id and matching_field
    │       │   └── PermanentDndError               a channel is closed for good: carries channels
    │       ├── NotFoundError (LookupError)         no such contact, note ... (the API says 400 or 404)
    │       ├── AuthenticationError                 401: the token is wrong or expired
    │       ├── PermissionDeniedError (PermissionError)   401 of scope or version, 403
    │       ├── ValidationError (ValueError)        422: messages name the fields
    │       ├── RateLimitedError                    429: retry_after seconds, where given
    │       └── ServerError                         5xx, and the gateway's 401 "Command timed out"
    ├── WebhookError (ValueError)                   this delivery is not genuine or fresh, or came before: reason
    ├── TokenSourceError                            there is no token to send; `__cause__` may say why
    │   ├── LoginRequiredError                      log in (install the app) again
    │   ├── LocationNotCoveredError (PermissionError)   the account may not act for this location
    │   └── TokenStoreError                         the store of tokens cannot be read or written
    ├── LocationRefusedError                        one location takes no calls (403, 404): location_id, status
    ├── DailyQuotaExceededError                     the day is spent; resets_in seconds
    ├── RateLimitStuckError                         nothing but 429 for as long as the policy waits
    ├── SharedLimitsError                           Redis, which keeps the limits, does not answer
    ├── JournalError                                the journal or outbox cannot be read or written
    ├── OutboxFullError                             the outbox holds as many contacts as it may; put it again later
    ├── OutageError                                 no call was answered for as long as the policy waits
    ├── TooManyFailuresError                        more rows failed than `max_failures` allows
    ├── StopRequestedError                          the caller had the load stopped
    └── LoadError                                   a bulk load is incomplete; carries the report (`bulk/report.py`)
        ├── LoadStoppedError                        it ended before its last row
        └── RowsFailedError                         it ended, and rows failed

All can be pickled. None carries a token.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

WebhookFault: TypeAlias = Literal[
    "too_large",
    "unsigned",
    "bad_signature",
    "malformed",
    "other_app",
    "other_location",
    "too_old",
    "too_early",
    "replayed",
]
"""What can be wrong with a delivery of a webhook."""


def option(name: str, value: object) -> str:
    """Name an option with a value in a message: ``option("tags", "replace")`` is `` `tags='replace'` ``.

    Messages name options as Python has them, in backticks. The command line reads the name and the literal back and
    prints its own flag; so a backtick in the value, which comes from a file, is written as an escape.

    Args:
        name: The option, as an argument or attribute.
        value: A text, list or mapping; its `repr` is a literal.
    """
    literal = repr(value).replace("`", "\\x60")
    return f"`{name}={literal}`"


def _restore(cls: type[LeadConnectorError], args: tuple[Any, ...]) -> LeadConnectorError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


def as_picklable(error: BaseException) -> BaseException:
    """Return an exception if it can be pickled, else one that names its class and repeats its text.

    What a source, a token source or a consumer raised may be of any class, and many cannot be pickled.
    """
    if isinstance(error, LeadConnectorError):
        return error
    import copy  # both when they are needed: most programs start without them
    import pickle

    try:
        pickle.dumps(error)
        copy.copy(error)  # made anew from its arguments, as by a pickle that is read: many constructors take others
    except Exception:  # of a foreign class, whose methods may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class LeadConnectorError(Exception):
    """Whatever this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only arguments cannot be rebuilt from args alone, which is all pickle would try; and
        # it would leave out the cause. The state comes third, so that a chain that leads back to itself has an end.
        state = self.__dict__.copy()
        if self.__cause__ is not None:
            state["__cause__"] = as_picklable(self.__cause__)
        return _restore, (type(self), self.args), state


class UsageError(LeadConnectorError, ValueError):
    """The call itself is wrong; nothing was sent."""


class ConfigurationError(UsageError):
    """A token, address, location, policy or file cannot be used as given."""


class InvalidContactError(UsageError):
    """This contact cannot be sent as it is.

    Attributes:
        field: The field at fault by its name in Python, or None where no single one is.
        where: The place in a file that the contact comes from, or None.
        sentence: What is wrong, without the place.
    """

    def __init__(self, sentence: str, *, field: str | None = None, where: str | None = None) -> None:
        super().__init__(sentence if where is None else f"{where}: {sentence}")
        self.field = field
        self.where = where
        self.sentence = sentence


class KeyConflictError(UsageError):
    """The outbox knows this key from another contact; nothing was stored. A key names one event."""


class ClientStateError(UsageError, RuntimeError):
    """The client is not open, is closed, or belongs to another event loop."""


class CallError(LeadConnectorError):
    """A call was tried, again where that was safe, and did not succeed.

    Attributes:
        attempts: How many tries were made, not counting those that were rate-limited (HTTP 429).
        rate_limited: How many tries were rate-limited (HTTP 429).
        may_be_applied: True where the API may have done what was asked although no answer says so.
    """

    attempts: int = 0
    rate_limited: int = 0
    may_be_applied: bool = False


class TransportError(CallError, ConnectionError):
    """The network or the server gave no complete answer."""


class ConnectFailedError(TransportError):
    """No connection came about (refused, DNS, TLS); nothing was sent.

    Attributes:
        is_permanent: Whether it is pointless to try again, as a certificate or a host name cannot be right.
    """

    is_permanent: bool = False


class ConnectionLostError(TransportError):
    """The connection broke after the request may have left."""


class CallTimeoutError(TransportError, TimeoutError):
    """No complete answer came in time; the request may have been applied."""


class InvalidResponseError(CallError):
    """The answer is not what the API promises: empty, HTML, cut, too large, a redirect, or of another shape.

    Attributes:
        status: The HTTP status of that answer.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class APIError(CallError):
    """The API answered with an error.

    Attributes:
        status: The HTTP status (bodies may name another; it is not believed).
        messages: The API's sentences, at least one.
        trace_id: The API's id of this call for its support, or None where the answer had none.
        code: The API's own word for the error (`canonicalCode`, `error`), or None.
    """

    def __init__(
        self,
        status: int,
        messages: tuple[str, ...],
        *,
        trace_id: str | None = None,
        code: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(f"{status}: {'; '.join(messages)}{f' ({advice})' if advice else ''}")
        self.status = status
        self.messages = messages
        self.trace_id = trace_id
        self.code = code


class BadRequestError(APIError):
    """400, or another 4xx that has no class of its own."""


class DuplicateContactError(BadRequestError):
    """Another contact of the location already holds this email or phone.

    Attributes:
        contact_id: The id of the contact that exists.
        contact_name: Its name; empty where the API does not say.
        matching_field: `email` or `phone`, whichever it shares; None where the API does not say.
    """

    contact_id: str = ""
    contact_name: str = ""
    matching_field: str | None = None


class PermanentDndError(BadRequestError):
    """A do-not-disturb channel may not be changed: the contact closed it itself (STOP), or the carrier did, and only
    the contact or the service can open it again. Nor may `permanent` be set where it is not stored.

    The service applies nothing of such a call. Upsert, create and update send it again without the channel and name
    that in `not_applied`; this is raised where nothing else was to be changed.

    Attributes:
        channels: The channels that the answer names, in its own spelling. It may name one of several.
    """

    channels: tuple[str, ...] = ()


class NotFoundError(APIError, LookupError):
    """There is no such contact, note, task, location or field, or it was deleted."""


class AuthenticationError(APIError):
    """The token is malformed, expired or revoked."""


class PermissionDeniedError(APIError, PermissionError):
    """The token is known but may not do this: scope, kind of token, location, API version."""


class ValidationError(APIError, ValueError):
    """The API refused fields or values; `messages` names them."""


class RateLimitedError(APIError):
    """429.

    Attributes:
        retry_after: Seconds the server asks to wait, or None.
    """

    retry_after: float | None = None


class ServerError(APIError):
    """The service failed or timed out; it may have applied the call all the same.

    Attributes:
        retry_after: Seconds the server asks to wait, or None.
    """

    retry_after: float | None = None


class WebhookError(LeadConnectorError, ValueError):
    """A delivery of a webhook is not to be believed, or was delivered before.

    Attributes:
        reason: `too_large`, `unsigned` (no signature), `bad_signature` (not by the vendor, or changed on its way),
            `malformed` (signed, but no event), `other_app`, `other_location`, `too_old`, `too_early` (from the future)
            or `replayed`.
    """

    def __init__(self, message: str, *, reason: WebhookFault) -> None:
        super().__init__(message)
        self.reason = reason


class TokenSourceError(LeadConnectorError):
    """The token source raised, or gave something that is no token; this try was not sent."""


class LoginRequiredError(TokenSourceError):
    """There is no login, or the service takes it no more: only a person can help, by logging in again.

    Attributes:
        account_id: The location or company that is to log in again; None where that is not known.
    """

    account_id: str | None

    def __init__(self, message: str, *, account_id: str | None = None) -> None:
        super().__init__(message)
        self.account_id = account_id


class LocationNotCoveredError(TokenSourceError, PermissionError):
    """The account that is logged in may not act for this location.

    Attributes:
        location_id: Which location.
    """

    def __init__(self, message: str, *, location_id: str = "") -> None:
        super().__init__(message)
        self.location_id = location_id


class TokenStoreError(TokenSourceError):
    """The store of tokens is locked, damaged, open to others, or cannot be written."""


class LocationRefusedError(LeadConnectorError):
    """The service refuses all calls about one location: the token has no access to it, or there is none.

    `__cause__` is the answer that said so.

    Attributes:
        location_id: Which location.
        status: The HTTP status of that answer.
    """

    def __init__(self, message: str, *, location_id: str, status: int) -> None:
        super().__init__(message)
        self.location_id = location_id
        self.status = status


class DailyQuotaExceededError(LeadConnectorError):
    """The location's calls of this day are spent; this call was not sent.

    Attributes:
        location_id: Whose day is spent.
        resets_in: Seconds until the service counts anew.
    """

    def __init__(self, message: str, *, location_id: str, resets_in: float) -> None:
        super().__init__(message)
        self.location_id = location_id
        self.resets_in = resets_in


class RateLimitStuckError(LeadConnectorError):
    """A call was rate-limited (HTTP 429) for as long as the policy waits; it was not applied.

    Attributes:
        rate_limited: How many of its tries were rate-limited (HTTP 429).
    """

    def __init__(self, message: str, *, rate_limited: int) -> None:
        super().__init__(message)
        self.rate_limited = rate_limited


class SharedLimitsError(LeadConnectorError):
    """Redis, which is to keep the limits of all processes, does not answer; nothing was sent."""


class JournalError(LeadConnectorError):
    """The journal of a load, or an outbox, cannot be read or written any more, as the disk is full or gone."""


class OutboxFullError(LeadConnectorError):
    """The outbox holds as many contacts as it may, and is told not to wait for room; this one was not stored."""


class OutageError(LeadConnectorError):
    """The service was down for longer than a load waits for it."""


class TooManyFailuresError(LeadConnectorError):
    """More rows failed than the load allows; the rows that were not sent yet are `not_attempted`."""


class StopRequestedError(LeadConnectorError):
    """The caller asked the load to stop, or cancelled it."""
