"""Asyncio-first SDK for the HighLevel / LeadConnector contacts API, made for bulk upsert."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from . import errors
from .version import __version__

if TYPE_CHECKING:
    from .auth.logins import AccountInfo
    from .auth.oauth_app import OAuthAccount, OAuthApp
    from .auth.source import ConnectedTokenSource, FixedToken, TokenSource
    from .auth.stores import KeyringTokenStore, LockingTokenStore, MemoryTokenStore, SQLiteTokenStore, TokenStore
    from .bulk.contacts import Contacts
    from .bulk.report import BatchReport, ErrorCount, LoadError, LoadStoppedError, Outcome, RowError, RowsFailedError
    from .bulk.source import Row
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
        KeyConflictError,
        LeadConnectorError,
        LocationNotCoveredError,
        LocationRefusedError,
        LoginRequiredError,
        NotFoundError,
        OutageError,
        OutboxFullError,
        PermanentDndError,
        PermissionDeniedError,
        RateLimitedError,
        RateLimitStuckError,
        ServerError,
        SharedLimitsError,
        StopRequestedError,
        TokenSourceError,
        TokenStoreError,
        TooManyFailuresError,
        TransportError,
        UsageError,
        ValidationError,
        WebhookError,
    )
    from .limits.limit import RateLimit
    from .limits.local import LocalLimits
    from .limits.redis import RedisLimits
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
    from .rules.checks import Checks
    from .rules.contacts import CheckedContact, check_contact
    from .rules.problems import Problem
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
    "CheckedContact",
    "Checks",
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
    "KeyConflictError",
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
    "OutboxFullError",
    "Outcome",
    "PermanentDndError",
    "PermissionDeniedError",
    "Problem",
    "RadioField",
    "Range",
    "RateLimit",
    "RateLimitStuckError",
    "RateLimitedError",
    "RedisLimits",
    "RetryPolicy",
    "Row",
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
    "TooManyFailuresError",
    "TransportError",
    "UpsertResult",
    "UsageError",
    "ValidationError",
    "WebhookError",
    "__version__",
    "all_of",
    "any_of",
    "check_contact",
    "errors",
]

# Where each name is defined. It is imported when it is first asked for, so that a program loads what it uses: no SQLite
# without a journal, no Redis without shared limits, no OAuth with a fixed token.
_PLACES: Final = {
    "auth.logins": "AccountInfo",
    "auth.oauth_app": "OAuthAccount OAuthApp",
    "auth.source": "ConnectedTokenSource FixedToken TokenSource",
    "auth.stores": "KeyringTokenStore LockingTokenStore MemoryTokenStore SQLiteTokenStore TokenStore",
    "bulk.contacts": "Contacts",
    "bulk.report": "BatchReport ErrorCount LoadError LoadStoppedError Outcome RowError RowsFailedError",
    "bulk.source": "Row",
    "calls.retry": "RetryPolicy",
    "calls.transport": "Timeouts",
    "client": "LeadConnector",
    "contacts.locations": "Locations",
    "errors": """
        APIError AuthenticationError BadRequestError CallError CallTimeoutError ClientStateError ConfigurationError
        ConnectFailedError ConnectionLostError DailyQuotaExceededError DuplicateContactError InvalidContactError
        InvalidResponseError JournalError KeyConflictError LeadConnectorError LocationNotCoveredError
        LocationRefusedError LoginRequiredError NotFoundError OutageError OutboxFullError PermanentDndError
        PermissionDeniedError RateLimitStuckError RateLimitedError ServerError SharedLimitsError StopRequestedError
        TokenSourceError TokenStoreError TooManyFailuresError TransportError UsageError ValidationError WebhookError
    """,
    "limits.limit": "RateLimit",
    "limits.local": "LocalLimits",
    "limits.redis": "RedisLimits",
    "models": """
        AdditionalEmail AdditionalPhone Appointment AttributionSource CheckboxField Contact ContactPage ContactUpdate
        ContactUpsert CustomField CustomFieldDefinition CustomFieldValue DndSetting DndSettings FileEntry FileField
        FileMeta Filter FilterGroup FollowersChange FoundContact InboundDndSetting InboundDndSettings LargeTextField
        Location LocationBusiness LocationSettings LocationSocial MonetaryField MultiSelectField NotApplied Note
        NumericField RadioField Range SearchPage SingleSelectField Sort TagResult TagsReport Task TextBoxOption
        TextField UpsertResult all_of any_of
    """,
    "protocol.oauth": "InstalledLocation",
    "rules.checks": "Checks",
    "rules.contacts": "CheckedContact check_contact",
    "rules.problems": "Problem",
    "run.journal": "Journal",
}
_PLACE_OF: Final = {name: place for place, names in _PLACES.items() for name in names.split()}
_WITH_REPORT: Final = ("LoadError", "LoadStoppedError", "RowsFailedError")


def __getattr__(name: str) -> Any:
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{place}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _find_error(name: str) -> Any:
    """Errors that carry a report stand beside the report; `errors` is where users look for them."""
    if name not in _WITH_REPORT:
        raise AttributeError(f"module {errors.__name__!r} has no attribute {name!r}")
    return __getattr__(name)


errors.__getattr__ = _find_error  # type: ignore[method-assign]
