"""Locations and what they define."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from .answers import Refusal
from .books import Records
from .calls import Body, IncomingCall, success
from .custom_fields import DATA_TYPES, CustomFieldDefinition
from .logins import COMPANY_ID
from .validation import Rules, array, flag, number, one_of, strings, text

_LARGEST_PAGE: Final = 1000
_MODELS: Final = ("contact", "opportunity")
_CHANGEABLE: Final = {
    "name": text,
    "placeholder": text,
    "acceptedFormat": strings,
    "isMultipleFile": flag,
    "maxNumberOfFiles": number,
    "textBoxListOptions": array,
    "options": array,
    "position": number,
    "model": one_of(*_MODELS),
}
NEW_FIELD: Final = Rules(
    # The last three are in no reference of this API.
    {**_CHANGEABLE, "dataType": one_of(*DATA_TYPES), "fieldKey": text, "parentId": text, "description": text},
    ("name", "dataType"),
)
CHANGED_FIELD: Final = Rules(_CHANGEABLE, ("name",))


# ---------------------------------------------------------------------------------------------- locations


def get_location(records: Records, call: IncomingCall) -> Body:
    return {"location": {"companyId": COMPANY_ID, "business": {}, **_describe(records, call.params["locationId"])}}


def search_locations(records: Records, call: IncomingCall) -> Body:
    order = call.query.get("order", "asc")
    if order not in ("asc", "desc"):
        raise Refusal(422, ["order must be one of the following values: asc, desc"])
    found = [_describe(records, location_id) for location_id in records.location_ids()]
    email, company_id = call.query.get("email"), call.query.get("companyId", COMPANY_ID)
    found = [each for each in found if email in (None, each["email"]) and company_id == COMPANY_ID]
    start = call.count("skip", 0)
    size = call.count("limit", 10, most=_LARGEST_PAGE)
    return {"locations": (found if order == "asc" else found[::-1])[start : start + size]}


def _describe(records: Records, location_id: str) -> Body:
    return {
        "id": location_id,
        "name": f"Sandbox {location_id}",
        "email": f"{location_id.lower()}@sandbox.example",
        "country": records.country,
        "timezone": "America/New_York",
        "settings": {
            "allowDuplicateContact": records.allow_duplicates,
            "allowDuplicateOpportunity": False,
            "allowFacebookNameMerge": False,
            "disableContactTimezone": False,
            "contactUniqueIdentifiers": list(records.unique_identifiers),
        },
        "social": {},
    }


# ---------------------------------------------------------------------------------------------- custom fields


def list_custom_fields(records: Records, call: IncomingCall) -> Body:
    location_id, model = call.params["locationId"], call.query.get("model", "contact")
    if model not in (*_MODELS, "all"):
        raise Refusal(422, ["model must be one of the following values: contact, opportunity, all"])
    fields = records.custom_fields(location_id).by_id.values()
    return {"customFields": [_spell(field, location_id) for field in fields if model in (field.model, "all")]}


def create_custom_field(records: Records, call: IncomingCall) -> Body:
    location_id, sent = call.params["locationId"], call.body
    present = records.custom_fields(location_id).by_id
    model = sent.get("model", "contact")
    key = _key_of(sent, model)
    if any((field.key, field.model) == (key, model) for field in present.values()):
        raise Refusal(400, f"{model}.{key} already exists")
    new_id = records.new_id(records.contacts)
    field = CustomFieldDefinition(
        id=new_id,
        key=key,
        name=sent["name"],
        data_type=sent["dataType"],
        parent_id=sent.get("parentId", ""),
        description=sent.get("description", ""),
    )
    return _keep(records, location_id, _changed(field, {"position": len(present), **sent}))


def _key_of(sent: Body, model: str) -> str:
    """Return the key that is sent, else one that is made of the name."""
    named = sent.get("fieldKey", "").removeprefix(f"{model}.") or sent["name"]
    return re.sub(r"\W+", "_", named.strip().lower()).strip("_") or "field"


def get_custom_field(records: Records, call: IncomingCall) -> Body:
    return {"customField": _spell(_find(records, call), call.params["locationId"])}


def update_custom_field(records: Records, call: IncomingCall) -> Body:
    return _keep(records, call.params["locationId"], _changed(_find(records, call), call.body))


def delete_custom_field(records: Records, call: IncomingCall) -> Body:
    location_id, field = call.params["locationId"], _find(records, call)
    records.define(location_id, [each for each in records.custom_fields(location_id).by_id.values() if each != field])
    return success(call.version)


def _find(records: Records, call: IncomingCall) -> CustomFieldDefinition:
    field = records.custom_fields(call.params["locationId"]).by_id.get(call.params["id"])
    if field is None:
        raise Refusal(400, f"Custom field with id {call.params['id']} not found")
    return field


def _keep(records: Records, location_id: str, field: CustomFieldDefinition) -> Body:
    fields = {**records.custom_fields(location_id).by_id, field.id: field}
    records.define(location_id, fields.values())
    return {"customField": _spell(field, location_id)}


def _changed(field: CustomFieldDefinition, sent: Body) -> CustomFieldDefinition:
    changes: dict[str, Any] = {
        name: sent[name] for name in ("name", "placeholder", "position", "model") if name in sent
    }
    if "acceptedFormat" in sent:
        changes["accepted_formats"] = tuple(sent["acceptedFormat"])
    if "options" in sent or "textBoxListOptions" in sent:
        changes["options"] = _read_options(sent)
    if "maxNumberOfFiles" in sent:
        changes["max_files"] = sent["maxNumberOfFiles"]
    elif "isMultipleFile" in sent:
        changes["max_files"] = 2 if sent["isMultipleFile"] else 1
    return msgspec.structs.replace(field, **changes)


def _read_options(sent: Body) -> tuple[str, ...]:
    """Options are flat texts; those of a list of text boxes may be objects with a label."""
    flat = sent.get("options", [])
    if not all(isinstance(option, str) for option in flat):
        raise Refusal(400, "v.trim is not a function")
    boxes = [box.get("label") if isinstance(box, dict) else box for box in sent.get("textBoxListOptions", [])]
    if not all(isinstance(label, str) for label in boxes):
        raise Refusal(422, ["each value in textBoxListOptions must have a label"])
    return tuple(dict.fromkeys(option.strip() for option in (*flat, *boxes) if option.strip()))


def _spell(field: CustomFieldDefinition, location_id: str) -> Body:
    return {
        "id": field.id,
        "name": field.name,
        "fieldKey": f"{field.model}.{field.key}",
        "placeholder": field.placeholder,
        "dataType": field.data_type,
        "position": field.position,
        "picklistOptions": list(field.options),
        "picklistImageOptions": [],
        "isAllowedCustomOption": False,
        "isMultiFileAllowed": field.max_files > 1,
        "maxFileLimit": field.max_files,
        "locationId": location_id,
        "model": field.model,
        **({"parentId": field.parent_id} if field.parent_id else {}),
        **({"description": field.description} if field.description else {}),
    }
