"""What the specification says of the operations that the sandbox serves, as facts of our own: paths, fields, types.

Where it is looser than the service (an email is any text, a date is an object), this is as strict as the service, so
that made-up calls get past the checks. Types of answers are the specification's, but for two that it has wrong: the
results of bulk tags are objects, and values of custom fields are of any type.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]
TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NUMBER: Final[Schema] = {"type": "number"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
TIME: Final[Schema] = {"enum": ["2026-01-02", "2026-01-02T10:00:00Z", "2026-01-02T10:00:00.000+02:00"]}
LOCATION: Final = "ve9EPM428h8vShlRW1KT"


def of(names: str, kind: Schema) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), kind)


def thing(fields: dict[str, Schema], required: str = "", *, is_closed: bool = False) -> Schema:
    schema: Schema = {"type": "object", "properties": fields}
    if required:
        schema["required"] = required.split()
    return {**schema, "additionalProperties": False} if is_closed else schema


def sent(fields: dict[str, Schema], required: str = "") -> Schema:
    return thing(fields, required, is_closed=True)


def some(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


# ---------------------------------------------------------------------------------------------- what is answered


def channels(version: str) -> dict[str, Schema]:
    setting = thing({"status": {"enum": ["active", "inactive", "permanent"]}, **of("message code", TEXT)}, "status")
    # The seventh, RCS, is not in the specification, but live.
    names = "call email sms whatsApp gmb fb rcs" if version == "v3" else "Call Email SMS WhatsApp GMB FB RCS"
    return of(names, setting)


def contact(version: str) -> Schema:
    texts = (
        "id name locationId firstName lastName email emailLowerCase timezone companyName phone type source assignedTo "
        "address1 city state country postalCode website dateOfBirth dateAdded dateUpdated firstNameLowerCase "
        "fullNameLowerCase lastNameLowerCase businessId"
    )
    fields = {**of(texts, TEXT), "dnd": FLAG, "tags": TEXTS, "customFields": some(thing({"id": TEXT}, "id"))}
    return thing({**fields, "dndSettings": thing(channels(version), is_closed=True)}, "id locationId")


def paged_contact(version: str, **forms: Schema) -> Schema:
    """A contact as searches and lists return it: what it lacks is null, and some fields have other names and forms."""
    whole = contact(version)
    texts = "contactName firstNameRaw lastNameRaw address phoneLabel businessName"
    fields = {**whole["properties"], **of(texts, TEXT), **forms}
    return thing({name: {**field, "nullable": True} for name, field in fields.items()}, "id locationId")


NOTE: Final = thing({**of("id body userId dateAdded contactId title color", TEXT), "pinned": FLAG}, "id contactId body")
TASK: Final = thing(
    {**of("id title body assignedTo dueDate contactId", TEXT), "completed": FLAG}, "id title dueDate contactId"
)
EVENT: Final = thing(of("id title contactId locationId", TEXT), "id")
FIELD: Final = thing(
    {
        **of("id name fieldKey placeholder dataType locationId", TEXT),
        **of("position maxFileLimit", NUMBER),
        **of("picklistOptions picklistImageOptions", TEXTS),
        **of("isAllowedCustomOption isMultiFileAllowed", FLAG),
        "model": {"enum": ["contact", "opportunity"]},
    },
    "id name fieldKey dataType model",
)
PLACE: Final = thing({**of("id name email country timezone", TEXT), **of("settings social", thing({}))}, "id")
REFUSAL: Final[Schema] = thing({"statusCode": NUMBER, "message": TEXT})
UNPROCESSABLE: Final[Schema] = thing({"statusCode": NUMBER, "message": TEXTS, "error": TEXT}, "statusCode message")


def done(version: str) -> Schema:
    names = "succeeded succeded" if version == "v3" else "succeded"
    return thing(of(names, FLAG), names)


def holding(name: str, schema: Schema) -> Schema:
    return thing({name: schema}, name)


# ---------------------------------------------------------------------------------------------- what is sent


def contact_sent(version: str, more: str = "") -> Schema:
    value = "fieldValue" if version == "v3" else "field_value"
    keys = ["nickname", "contact.plan", "score", "interests", "size", "budget", "none"]
    fields = {
        **of("firstName lastName name address1 city state website", {"type": "string", "nullable": True}),
        **of("postalCode source assignedTo", TEXT),
        **of("gender companyName", TEXT),
        "locationId": {"enum": [LOCATION, "other"]},
        "email": {"type": "string", "format": "email"},
        "phone": {"enum": ["+1 888-888-8888", "6175550100", "+49 30 901820", "12"]},
        "timezone": {"enum": ["Europe/Berlin", "America/Chihuahua"]},
        "country": {"enum": ["US", "DE", "BR"]},
        "dateOfBirth": {"enum": ["1990-09-25", "09/25/1990", None], "nullable": True},
        "dnd": FLAG,
        "dndSettings": sent(channels(version)),
        "inboundDndSettings": sent({"all": thing({"status": {"enum": ["active", "inactive"]}}, "status")}),
        "tags": TEXTS,
        "customFields": some(sent({"key": {"enum": keys}, value: {}}, "key")),
        "createNewIfDuplicateAllowed": FLAG,
    }
    unknown = {"gender", "companyName", "locationId", "createNewIfDuplicateAllowed"} - set(more.split())
    return sent({name: each for name, each in fields.items() if name not in unknown}, "locationId" if more else "")


SEARCH: Final = sent(
    {
        "locationId": {"enum": [LOCATION]},
        "pageLimit": {"type": "integer", "minimum": 1, "maximum": 500},
        "page": {"type": "integer", "minimum": 1, "maximum": 20},
        "query": {"type": "string", "maxLength": 75},
        "filters": some(
            {
                "anyOf": [
                    sent(
                        {
                            "field": {
                                "enum": ["email", "tags", "dateAdded", "dnd", "customFields.SandboxField00000005"]
                            },
                            "operator": {"enum": ["eq", "not_eq", "exists", "not_exists"]},
                            "value": {"anyOf": [{"type": "string", "maxLength": 75}, FLAG, NUMBER]},
                        },
                        "field operator value",
                    ),
                    sent(
                        {"group": {"enum": ["AND", "OR"]}, "filters": {"type": "array", "maxItems": 0}}, "group filters"
                    ),
                ]
            }
        ),
        "sort": some(
            sent(
                {"field": {"enum": ["email", "dateAdded", "dnd"]}, "direction": {"enum": ["asc", "desc"]}},
                "field direction",
            )
        ),
    },
    "locationId pageLimit",
)
NOTE_SENT: Final = {**of("userId body title color", {"type": "string", "minLength": 1}), "pinned": FLAG}
TASK_SENT: Final = {
    **of("title body assignedTo", {"type": "string", "minLength": 1}),
    "dueDate": TIME,
    "completed": FLAG,
}
FIELD_SENT: Final = {
    "name": {"type": "string", "minLength": 1},
    "placeholder": TEXT,
    "acceptedFormat": TEXTS,
    "isMultipleFile": FLAG,
    "maxNumberOfFiles": NUMBER,
    "textBoxListOptions": some(thing({**of("label prefillValue", TEXT)}, "label")),
    "position": NUMBER,
    "model": {"enum": ["contact", "opportunity"]},
}
DATA_TYPES: Final = ["TEXT", "NUMERICAL", "SINGLE_OPTIONS", "MULTIPLE_OPTIONS", "FILE_UPLOAD", "TEXTBOX_LIST"]
LISTED: Final = "limit:string skip:string query:string"


# ---------------------------------------------------------------------------------------------- operations

Row: TypeAlias = tuple[str, str, str, int, Schema, Schema | None]
"""Method, path, parameters of the query (required ones with a !), status, answer, body."""


def operations(version: str) -> list[Row]:
    made, flag = contact(version), done(version)
    one = holding("contact", made)
    many = thing({"contacts": some(paged_contact(version)), "count": NUMBER}, "contacts count")
    own, fields = "/contacts/{contactId}", "/locations/{locationId}/customFields"
    every = "remove-all" if version == "v3" else "removeAll"
    result = thing(
        {**of("contactId message type", TEXT), **of("oldTags tagsAdded tagsRemoved", TEXTS)}, "contactId type"
    )
    bulk = thing({"errorCount": NUMBER, "responses": some(result)}, "errorCount responses")
    tags = sent({"tags": TEXTS}, "tags")
    followers = sent({"followers": TEXTS}, "followers")
    updated = "succeeded" if version == "v3" else "succeded"
    upserted = thing({"new": FLAG, "contact": made, "traceId": TEXT}, "new contact traceId")
    bulk_tags = {"contacts": TEXTS, "tags": TEXTS, "locationId": {"enum": [LOCATION]}, "removeAllTags": FLAG}
    business = {
        "locationId": {"enum": [LOCATION]},
        "ids": {"type": "array", "items": {"type": "string", "maxLength": 50}},
        "businessId": {"type": "string", "nullable": True},
    }
    upsert_names = "locationId gender companyName createNewIfDuplicateAllowed"
    create_names = "locationId gender companyName"
    listed = "locationId! startAfterId:string startAfter:number query:string limit:number"
    located = "companyId:string skip:string limit:string order:string email:string"
    placed = holding("locations", some(PLACE))
    birthday = {"dateOfBirth": NUMBER}
    found = thing({"contacts": some(paged_contact(version, **birthday)), "total": NUMBER}, "contacts total")
    taken = thing({"success": FLAG, "ids": TEXTS}, "success ids")
    followed = thing(of("followers followersAdded", TEXTS), "followers followersAdded")
    unfollowed = thing(of("followers followersRemoved", TEXTS), "followers followersRemoved")
    completion = sent({"completed": FLAG}, "completed")
    new_field = sent({**FIELD_SENT, "dataType": {"enum": DATA_TYPES}}, "name dataType")
    business_sent = sent(business, "locationId ids businessId")
    return [
        ("POST", "/contacts/upsert", "", 200, upserted, contact_sent(version, upsert_names)),
        ("POST", "/contacts/", "", 201, one, contact_sent(version, create_names)),
        ("GET", "/contacts/", listed, 200, many, None),
        ("POST", "/contacts/search", "", 200, found, SEARCH),
        ("GET", "/contacts/search/duplicate", "locationId! number:string email:string", 200, thing({}), None),
        ("GET", "/contacts/business/{businessId}", f"locationId! {LISTED}", 200, many, None),
        ("POST", "/contacts/bulk/business", "", 200, taken, business_sent),
        ("POST", "/contacts/bulk/tags/update/{type}", "", 201, bulk, sent(bulk_tags, "contacts tags locationId")),
        ("GET", own, "", 200, one, None),
        ("PUT", own, "", 200, thing({updated: FLAG, "contact": made}, f"{updated} contact"), contact_sent(version)),
        ("DELETE", own, "", 200, flag, None),
        ("POST", f"{own}/tags", "", 201, holding("tags", TEXTS), tags),
        ("DELETE", f"{own}/tags", "", 200, holding("tags", TEXTS), tags),
        ("POST", f"{own}/followers", "", 201, followed, followers),
        ("DELETE", f"{own}/followers", "", 200, unfollowed, followers),
        ("GET", f"{own}/appointments", "", 200, holding("events", some(EVENT)), None),
        ("GET", f"{own}/notes", "", 200, holding("notes", some(NOTE)), None),
        ("POST", f"{own}/notes", "", 201, holding("note", NOTE), sent(NOTE_SENT, "body")),
        ("GET", f"{own}/notes/{{id}}", "", 200, holding("note", NOTE), None),
        ("PUT", f"{own}/notes/{{id}}", "", 200, holding("note", NOTE), sent(NOTE_SENT)),
        ("DELETE", f"{own}/notes/{{id}}", "", 200, flag, None),
        ("GET", f"{own}/tasks", "", 200, holding("tasks", some(TASK)), None),
        ("POST", f"{own}/tasks", "", 201, holding("task", TASK), sent(TASK_SENT, "title dueDate completed")),
        ("GET", f"{own}/tasks/{{taskId}}", "", 200, holding("task", TASK), None),
        ("PUT", f"{own}/tasks/{{taskId}}", "", 200, holding("task", TASK), sent(TASK_SENT)),
        ("DELETE", f"{own}/tasks/{{taskId}}", "", 200, flag, None),
        ("PUT", f"{own}/tasks/{{taskId}}/completed", "", 200, holding("task", TASK), completion),
        ("POST", f"{own}/campaigns/{{campaignId}}", "", 201, flag, sent({})),
        ("DELETE", f"{own}/campaigns/{{campaignId}}", "", 200, flag, None),
        ("DELETE", f"{own}/campaigns/{every}", "", 200, flag, None),
        ("POST", f"{own}/workflow/{{workflowId}}", "", 200, flag, sent({"eventStartTime": TIME})),
        ("DELETE", f"{own}/workflow/{{workflowId}}", "", 200, flag, sent({"eventStartTime": TIME})),
        ("GET", "/locations/search", located, 200, placed, None),
        ("GET", "/locations/{locationId}", "", 200, holding("location", PLACE), None),
        ("GET", fields, "model:string", 200, holding("customFields", some(FIELD)), None),
        ("POST", fields, "", 201, holding("customField", FIELD), new_field),
        ("GET", f"{fields}/{{id}}", "", 200, holding("customField", FIELD), None),
        ("PUT", f"{fields}/{{id}}", "", 200, holding("customField", FIELD), sent(FIELD_SENT, "name")),
        ("DELETE", f"{fields}/{{id}}", "", 200, flag, None),
    ]  # fmt: skip


def build_document(version: str) -> Schema:
    """Build an OpenAPI document of all operations in a version."""
    paths: dict[str, Schema] = {}
    for method, path, query, status, answer, body in operations(version):
        paths.setdefault(path, {})[method.lower()] = _operation(path, query, status, answer, body)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Contacts and locations", "version": version},
        "paths": paths,
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
    }


def _operation(path: str, query: str, status: int, answer: Schema, body: Schema | None) -> Schema:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [_parameter(name, "path", _PATH_TYPES.get(name, {"type": "string", "minLength": 1})) for name in names]
    for each in query.split():
        name, _, kind = each.partition(":")
        parameters.append(
            _parameter(name.rstrip("!"), "query", {"type": kind or "string"}, is_required=each[-1] == "!")
        )
    parameters.append(_parameter("Version", "header", TEXT))
    answers = {
        str(status): answer,
        "400": REFUSAL,
        "401": REFUSAL,
        "403": REFUSAL,
        "404": REFUSAL,
        "422": UNPROCESSABLE,
    }
    operation: Schema = {
        "parameters": parameters,
        "responses": {
            code: {"description": "", "content": {"application/json": {"schema": schema}}}
            for code, schema in answers.items()
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


_PATH_TYPES: Final[dict[str, Schema]] = {"type": {"enum": ["add", "remove"]}}


def _parameter(name: str, place: str, schema: Schema, *, is_required: bool = True) -> Schema:
    return {"name": name, "in": place, "required": is_required, "schema": schema}
