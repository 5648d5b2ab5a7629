"""What the API's specification says: its operations, and the names of what goes out and comes back. Facts alone.

From the vendor's OpenAPI documents of 2026-06: contacts (`Version: 2021-07-28`), contacts for `v3`, and that part of
locations that this package uses. `2023-02-21` is in no document; as far as known it is as `2021-07-28`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

OBJECTS: Final[dict[str, str]] = {
    "contact": (
        "id name locationId firstName lastName email emailLowerCase timezone companyName phone dnd dndSettings type "
        "source assignedTo address1 city state country postalCode website tags dateOfBirth dateAdded dateUpdated "
        "attachments ssn keyword firstNameLowerCase fullNameLowerCase lastNameLowerCase lastActivity customFields "
        "businessId attributionSource lastAttributionSource visitorId"
    ),
    "created contact": (
        "id dateAdded dateUpdated deleted tags type customFields locationId firstName firstNameLowerCase "
        "fullNameLowerCase lastName lastNameLowerCase email emailLowerCase bounceEmail unsubscribeEmail dnd "
        "dndSettings phone address1 city state country postalCode website source companyName dateOfBirth birthMonth "
        "birthDay lastSessionActivityAt offers products businessId assignedTo"
    ),
    "listed contact": (
        "id locationId email timezone country source dateAdded customFields tags businessId attributions followers"
    ),
    # The specification leaves this one empty; these are the names in the vendor's guide to the search.
    "found contact": (
        "id phoneLabel country address source type locationId dnd state businessName customFields tags dateAdded "
        "additionalEmails phone companyName additionalPhones dateUpdated city dateOfBirth firstNameLowerCase "
        "lastNameLowerCase email assignedTo followers validEmail dndSettings searchAfter"
    ),
    "attribution": (
        "url campaign utmSource utmMedium utmContent referrer campaignId fbclid gclid msclikid dclid fbc fbp fbEventId "
        "userAgent ip medium mediumId"
    ),
    "note": "id body userId dateAdded contactId title color pinned",
    "task": "id title body assignedTo dueDate completed contactId",
    "appointment": (
        "id calendarId status title assignedUserId notes startTime endTime address locationId contactId groupId "
        "appointmentStatus users dateAdded dateUpdated assignedResources"
    ),
    "tag result": "contactId message type oldTags tagsAdded tagsRemoved",  # from the example; the schema says string
    "location": (
        "id companyId name domain address city state logoUrl country postalCode website timezone firstName lastName "
        "email phone business social settings reseller"
    ),
    "business": "name address city state country postalCode website timezone logoUrl",
    "social": (
        "facebookUrl googlePlus linkedIn foursquare twitter yelp instagram youtube pinterest blogRss googlePlacesId"
    ),
    "settings": "allowDuplicateContact allowDuplicateOpportunity allowFacebookNameMerge disableContactTimezone",
    "found location": ("id name phone email address city state country postalCode website timezone settings social"),
    "custom field": (
        "id name fieldKey placeholder dataType position picklistOptions picklistImageOptions isAllowedCustomOption "
        "isMultiFileAllowed maxFileLimit locationId model"
    ),
    "text box": "label prefillValue",
}
"""The fields of each kind of object, by a name of our own for it."""

SEEN: Final[dict[str, str]] = {
    "contact": "gender inboundDndSettings additionalEmails additionalPhones followers",
    # GET /contacts/, as clients of the API read it, in 2026
    "listed contact": (
        "contactName firstName lastName firstNameRaw lastNameRaw companyName phone dnd dndSettings type assignedTo "
        "city state postalCode address1 dateUpdated dateOfBirth website additionalEmails"
    ),
    # verified live on 2026-07-28: https://github.com/GoHighLevel/highlevel-api-docs/issues/314
    "found contact": (
        "firstName lastName contactName postalCode website inboundDndSettings attributions attributionSource "
        "lastAttributionSource businessId"
    ),
    "created contact": "",
}
"""What contacts come back with beside `OBJECTS`, as it was seen in answers."""

_UPDATE: Final = (
    "firstName lastName name email phone address1 city state postalCode website timezone dnd dndSettings "
    "inboundDndSettings tags customFields source dateOfBirth country assignedTo"
)
_CREATE: Final = f"{_UPDATE} locationId gender companyName"
_FIELD: Final = "name placeholder acceptedFormat isMultipleFile maxNumberOfFiles textBoxListOptions position model"


class Operation(NamedTuple):
    """One operation in one version.

    Attributes:
        name: Its `operationId`.
        scope: What a token must be allowed, or nothing where the document does not say.
        status: The status of success.
        query: Names in its query.
        body: Names at the top of its body.
        answer: Names at the top of its answer.
        holds: Which kind of `OBJECTS` stands under a name of the answer.
    """

    name: str
    method: str
    path: str
    scope: str
    status: int
    query: str = ""
    body: str = ""
    answer: str = ""
    holds: tuple[tuple[str, str], ...] = ()


_READ, _WRITE = "contacts.readonly", "contacts.write"
_C: Final = "/contacts/{contactId}"
_L: Final = "/locations/{locationId}"
_CONTACT: Final = (("contact", "contact"),)
_NOTE: Final = (("note", "note"),)
_TASK: Final = (("task", "task"),)
_DEFINED: Final = (("customField", "custom field"),)
_NOTES: Final = "userId body title color pinned"
_TASKS: Final = "title body dueDate completed assignedTo"

_CONTACTS: Final = (
    Operation("search-contacts-advanced", "POST", "/contacts/search", _READ, 200),
    Operation("get-duplicate-contact", "GET", "/contacts/search/duplicate", _READ, 200, "locationId number email"),
    Operation("get-all-tasks", "GET", f"{_C}/tasks", _READ, 200, "", "", "tasks", (("tasks", "task"),)),
    Operation("create-task", "POST", f"{_C}/tasks", _WRITE, 201, "", _TASKS, "task", _TASK),
    Operation("get-task", "GET", f"{_C}/tasks/{{taskId}}", _READ, 200, "", "", "task", _TASK),
    Operation("update-task", "PUT", f"{_C}/tasks/{{taskId}}", _WRITE, 200, "", _TASKS, "task", _TASK),
    Operation("delete-task", "DELETE", f"{_C}/tasks/{{taskId}}", _WRITE, 200, "", "", "succeded"),
    Operation(
        "update-task-completed", "PUT", f"{_C}/tasks/{{taskId}}/completed", _WRITE, 200, "", "completed", "task", _TASK
    ),
    Operation(
        "get-appointments-for-contact",
        "GET",
        f"{_C}/appointments",
        _READ,
        200,
        "",
        "",
        "events",
        (("events", "appointment"),),
    ),
    Operation("add-tags", "POST", f"{_C}/tags", _WRITE, 201, "", "tags", "tags"),
    Operation("remove-tags", "DELETE", f"{_C}/tags", _WRITE, 200, "", "tags", "tags"),
    Operation("get-all-notes", "GET", f"{_C}/notes", _READ, 200, "", "", "notes", (("notes", "note"),)),
    Operation("create-note", "POST", f"{_C}/notes", _WRITE, 201, "", _NOTES, "note", _NOTE),
    Operation("get-note", "GET", f"{_C}/notes/{{id}}", _READ, 200, "", "", "note", _NOTE),
    Operation("update-note", "PUT", f"{_C}/notes/{{id}}", _WRITE, 200, "", _NOTES, "note", _NOTE),
    Operation("delete-note", "DELETE", f"{_C}/notes/{{id}}", _WRITE, 200, "", "", "succeded"),
    Operation(
        "create-association",
        "POST",
        "/contacts/bulk/tags/update/{type}",
        "",
        201,
        "",
        "contacts tags locationId removeAllTags",
        "succeded errorCount responses",
        (("responses", "tag result"),),
    ),
    Operation(
        "add-remove-contact-from-business",
        "POST",
        "/contacts/bulk/business",
        "",
        200,
        "",
        "locationId ids businessId",
        "success ids",
    ),
    Operation("get-contact", "GET", _C, _READ, 200, "", "", "contact", _CONTACT),
    Operation("update-contact", "PUT", _C, _WRITE, 200, "", _UPDATE, "succeded contact", _CONTACT),
    Operation("delete-contact", "DELETE", _C, _WRITE, 200, "", "", "succeded"),
    Operation(
        "upsert-contact",
        "POST",
        "/contacts/upsert",
        _WRITE,
        200,
        "",
        f"{_CREATE} createNewIfDuplicateAllowed",
        "new contact traceId",
        _CONTACT,
    ),
    Operation(
        "get-contacts-by-businessId",
        "GET",
        "/contacts/business/{businessId}",
        _READ,
        200,
        "limit locationId skip query",
        "",
        "contacts count",
        (("contacts", "listed contact"),),
    ),
    Operation(
        "add-followers-contact", "POST", f"{_C}/followers", _WRITE, 201, "", "followers", "followers followersAdded"
    ),
    Operation(
        "remove-followers-contact",
        "DELETE",
        f"{_C}/followers",
        _WRITE,
        200,
        "",
        "followers",
        "followers followersRemoved",
    ),
    Operation("add-contact-to-campaign", "POST", f"{_C}/campaigns/{{campaignId}}", _WRITE, 201, answer="succeded"),
    Operation(
        "remove-contact-from-campaign", "DELETE", f"{_C}/campaigns/{{campaignId}}", _WRITE, 200, answer="succeded"
    ),
    Operation(
        "remove-contact-from-every-campaign", "DELETE", f"{_C}/campaigns/removeAll", _WRITE, 200, answer="succeded"
    ),
    Operation(
        "add-contact-to-workflow",
        "POST",
        f"{_C}/workflow/{{workflowId}}",
        _WRITE,
        200,
        "",
        "eventStartTime",
        "succeded",
    ),
    Operation(
        "delete-contact-from-workflow",
        "DELETE",
        f"{_C}/workflow/{{workflowId}}",
        _WRITE,
        200,
        "",
        "eventStartTime",
        "succeded",
    ),
    Operation(
        "create-contact", "POST", "/contacts/", _WRITE, 201, "", _CREATE, "contact", (("contact", "created contact"),)
    ),
    Operation(
        "get-contacts",
        "GET",
        "/contacts/",
        _READ,
        200,
        "locationId startAfterId startAfter query limit",
        "",
        "contacts count",
        (("contacts", "listed contact"),),
    ),
)

LOCATIONS: Final = (
    Operation(
        "search-locations",
        "GET",
        "/locations/search",
        "locations.readonly",
        200,
        "companyId skip limit order email",
        "",
        "locations",
        (("locations", "found location"),),
    ),
    Operation("get-location", "GET", _L, "locations.readonly", 200, "", "", "location", (("location", "location"),)),
    Operation(
        "get-custom-fields",
        "GET",
        f"{_L}/customFields",
        "locations/customFields.readonly",
        200,
        "model",
        "",
        "customFields",
        (("customFields", "custom field"),),
    ),
    Operation(
        "create-custom-field",
        "POST",
        f"{_L}/customFields",
        "locations/customFields.write",
        201,
        "",
        f"{_FIELD} dataType fieldKey parentId description",  # the last three are in no document
        "customField",
        _DEFINED,
    ),
    Operation("get-custom-field", "GET", f"{_L}/customFields/{{id}}", "", 200, "", "", "customField", _DEFINED),
    Operation("update-custom-field", "PUT", f"{_L}/customFields/{{id}}", "", 200, "", _FIELD, "customField", _DEFINED),
    Operation("delete-custom-field", "DELETE", f"{_L}/customFields/{{id}}", "", 200, answer="succeded"),
)
"""Operations on locations; the document is that of 2021-07-28, and v3 has none of its own here."""

SEARCH_BODY: Final = "locationId pageLimit page searchAfter filters sort query"
"""The body of a search, by the vendor's guide; the specification leaves it empty."""
SEARCH_ANSWER: Final = "contacts total traceId"


def _to_v3(operation: Operation) -> Operation:
    """What v3 says of an operation, where it differs."""
    changes: dict[str, object] = {}
    if operation.name == "remove-contact-from-every-campaign":
        changes["path"] = f"{_C}/campaigns/remove-all"
    if operation.name == "get-contacts-by-businessId":
        changes["query"] = f"{operation.query} startAfter"
    if operation.name == "create-contact":
        changes["holds"] = _CONTACT
    if operation.name == "update-contact":
        changes["answer"] = "succeeded contact"
    elif "succeded" in operation.answer:
        changes["answer"] = f"succeeded {operation.answer}"
    return operation._replace(**changes)  # type: ignore[arg-type]


OPERATIONS: Final[dict[str, tuple[Operation, ...]]] = {
    "2021-07-28": _CONTACTS,
    "2023-02-21": _CONTACTS,
    "v3": tuple(_to_v3(operation) for operation in _CONTACTS if operation.name != "get-contacts"),
}
"""The operations on contacts of each version."""

DND: Final = {
    "2021-07-28": "Call Email SMS WhatsApp GMB FB",
    "2023-02-21": "Call Email SMS WhatsApp GMB FB",
    "v3": "call email sms whatsApp gmb fb",
}
"""The channels of `dndSettings`."""
CUSTOM_FIELD: Final = {"2021-07-28": "field_value", "2023-02-21": "field_value", "v3": "fieldValue"}
"""Under which name the value of a custom field is sent, beside `id` and `key`."""
