"""Asyncio-first SDK for the HighLevel / LeadConnector contacts API, made for bulk upsert."""

from typing import TYPE_CHECKING, Any

from . import errors
from .auth.logins import AccountInfo
from .auth.oauth_app import OAuthAccount, OAuthApp
from .auth.source import ConnectedTokenSource, FixedToken, TokenSource
from .auth.stores import KeyringTokenStore, LockingTokenStore, MemoryTokenStore, SQLiteTokenStore, TokenStore
from .bulk.contacts import Contacts
from .bulk.report import BatchReport, ErrorCount, LoadError, LoadStoppedError, Outcome, RowError, RowsFailedError
from .calls.retry import RetryPolicy
from .calls.transport import Timeouts
from .client import LeadConnector
from .contacts.locations import Locations
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    CallError,
    CallTimeoutError,
    ClientStateError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    DailyQuotaExceededError,
    DuplicateContactError,
    InvalidContactError,
    InvalidResponseError,
    JournalError,
    LeadConnectorError,
    LocationNotCoveredError,
    LocationRefusedError,
    LoginRequiredError,
    NotFoundError,
    OutageError,
    PermanentDndError,
    PermissionDeniedError,
    RateLimitedError,
    RateLimitStuckError,
    ServerError,
    SharedLimitsError,
    StopRequestedError,
    TokenSourceError,
    TokenStoreError,
    TransportError,
    UsageError,
    ValidationError,
    WebhookError,
)
from .limits.limit import RateLimit
from .limits.local import LocalLimits
from .models import (
    AdditionalEmail,
    AdditionalPhone,
    Appointment,
    AttributionSource,
    CheckboxField,
    Contact,
    ContactPage,
    ContactUpdate,
    ContactUpsert,
    CustomField,
    CustomFieldDefinition,
    CustomFieldValue,
    DndSetting,
    DndSettings,
    FileEntry,
    FileField,
    FileMeta,
    Filter,
    FilterGroup,
    FollowersChange,
    FoundContact,
    InboundDndSetting,
    InboundDndSettings,
    LargeTextField,
    Location,
    LocationBusiness,
    LocationSettings,
    LocationSocial,
    MonetaryField,
    MultiSelectField,
    NotApplied,
    Note,
    NumericField,
    RadioField,
    Range,
    SearchPage,
    SingleSelectField,
    Sort,
    TagResult,
    TagsReport,
    Task,
    TextBoxOption,
    TextField,
    UpsertResult,
    all_of,
    any_of,
)
from .protocol.oauth import InstalledLocation
from .version import __version__

if TYPE_CHECKING:
    from .limits.redis import RedisLimits
    from .run.journal import Journal

__all__ = [
    "APIError",
    "AccountInfo",
    "AdditionalEmail",
    "AdditionalPhone",
    "Appointment",
    "AttributionSource",
    "AuthenticationError",
    "BadRequestError",
    "BatchReport",
    "CallError",
    "CallTimeoutError",
    "CheckboxField",
    "ClientStateError",
    "ConfigurationError",
    "ConnectFailedError",
    "ConnectedTokenSource",
    "ConnectionLostError",
    "Contact",
    "ContactPage",
    "ContactUpdate",
    "ContactUpsert",
    "Contacts",
    "CustomField",
    "CustomFieldDefinition",
    "CustomFieldValue",
    "DailyQuotaExceededError",
    "DndSetting",
    "DndSettings",
    "DuplicateContactError",
    "ErrorCount",
    "FileEntry",
    "FileField",
    "FileMeta",
    "Filter",
    "FilterGroup",
    "FixedToken",
    "FollowersChange",
    "FoundContact",
    "InboundDndSetting",
    "InboundDndSettings",
    "InstalledLocation",
    "InvalidContactError",
    "InvalidResponseError",
    "Journal",
    "JournalError",
    "KeyringTokenStore",
    "LargeTextField",
    "LeadConnector",
    "LeadConnectorError",
    "LoadError",
    "LoadStoppedError",
    "LocalLimits",
    "Location",
    "LocationBusiness",
    "LocationNotCoveredError",
    "LocationRefusedError",
    "LocationSettings",
    "LocationSocial",
    "Locations",
    "LockingTokenStore",
    "LoginRequiredError",
    "MemoryTokenStore",
    "MonetaryField",
    "MultiSelectField",
    "NotApplied",
    "NotFoundError",
    "Note",
    "NumericField",
    "OAuthAccount",
    "OAuthApp",
    "OutageError",
    "Outcome",
    "PermanentDndError",
    "PermissionDeniedError",
    "RadioField",
    "Range",
    "RateLimit",
    "RateLimitStuckError",
    "RateLimitedError",
    "RedisLimits",
    "RetryPolicy",
    "RowError",
    "RowsFailedError",
    "SQLiteTokenStore",
    "SearchPage",
    "ServerError",
    "SharedLimitsError",
    "SingleSelectField",
    "Sort",
    "StopRequestedError",
    "TagResult",
    "TagsReport",
    "Task",
    "TextBoxOption",
    "TextField",
    "Timeouts",
    "TokenSource",
    "TokenSourceError",
    "TokenStore",
    "TokenStoreError",
    "TransportError",
    "UpsertResult",
    "UsageError",
    "ValidationError",
    "WebhookError",
    "__version__",
    "all_of",
    "any_of",
    "errors",
]

# Errors with a report are defined beside the report; `errors` is where users look for them.
for _error in (LoadError, LoadStoppedError, RowsFailedError):
    setattr(errors, _error.__name__, _error)


def __getattr__(name: str) -> Any:
    """Import what few programs use, when it is asked for: SQLite, and what speaks to Redis."""
    if name == "Journal":
        from .run.journal import Journal

        return Journal
    if name == "RedisLimits":
        from .limits.redis import RedisLimits

        return RedisLimits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
