"""To and from the wire: encoders and decoders made once, and the one place that knows how the versions differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ..errors import InvalidContactError
from .birthdays import read_birthday
from .contacts import Contact, ContactUpdate, ContactUpsert, UpsertResult
from .dnd import DndSettings
from .received import check_id, read_received
from .sent import ENCODING_ERRORS, describe
from .shapes import SHAPES, ShapeName, written_name

_Model = TypeVar("_Model", ContactUpsert, ContactUpdate)
_Contact = TypeVar("_Contact", bound=Contact)
_ENCODE: Final = msgspec.json.Encoder().encode
_CHECK: Final = {model: msgspec.json.Decoder(model).decode for model in (ContactUpsert, ContactUpdate)}
_NO_DND: Final = DndSettings()

# The keys of `dndSettings` in 2021-07-28 (and 2023-02-21), and in v3.
_V3_DND: Final = {
    "Call": "call",
    "Email": "email",
    "SMS": "sms",
    "WhatsApp": "whatsApp",
    "GMB": "gmb",
    "FB": "fb",
}
_DND_SPELLINGS: Final = {v3: name for name, v3 in _V3_DND.items()} | {"whats_app": "WhatsApp"}


def encode_contact(contact: ContactUpsert | ContactUpdate, *, v3: bool = False) -> bytes:
    """Encode a contact for the wire, and check the type of each of its values.

    Args:
        contact: What to encode; fields that are not set are left out.
        v3: Spell `dndSettings` and `customFields` as version v3 does.

    Raises:
        InvalidContactError: A value is of the wrong type; the message names the field.
    """
    try:
        body = _ENCODE(contact)
        # Structs do not check what they are given, and the service's own refusal would cost a call. Decoding does.
        _CHECK[type(contact)](body)
    except ENCODING_ERRORS as error:
        raise _invalid_contact(error) from None
    if v3 and (contact.dnd_settings or contact.custom_fields):
        return _respell_v3(body)
    return body


def _respell_v3(body: bytes) -> bytes:
    contact = msgspec.json.decode(body)
    if "dndSettings" in contact:
        contact["dndSettings"] = {_V3_DND[name]: value for name, value in contact["dndSettings"].items()}
    for field in contact.get("customFields", ()):
        field["fieldValue"] = field.pop("field_value")
    return _ENCODE(contact)


def read_contact(raw: bytes | msgspec.Raw, model: type[_Contact], shape: ShapeName) -> _Contact:
    """Read a contact that an operation returned, whatever the API version.

    A known field whose value is not of the documented kind is left at None and kept in `Contact.extra`, so that a
    change of the service never turns a call that succeeded into one that failed.

    Args:
        raw: Its JSON.
        model: What to make of it.
        shape: How the operation returns contacts.

    Raises:
        msgspec.DecodeError: It is no object, or has no `id`.
    """
    contact = read_received(raw, model)
    if shape != "whole":
        contact.__dict__["_shape_name"] = shape
    for field, sources in SHAPES[shape].sources.items():
        _take_first(contact, field, sources)
    _settle(contact)
    return contact


def _take_first(contact: Contact, field: str, sources: tuple[str, ...]) -> None:
    for source in sources:
        if (value := getattr(contact, source, None)) is not None:
            if source == "contact_name":
                value = written_name(value, contact.first_name, contact.last_name)
            setattr(contact, field, value)
            return


def _settle(contact: Contact) -> None:
    """Bring into one form what comes in several."""
    if contact.date_of_birth is not None:
        try:
            contact.date_of_birth = read_birthday(contact.date_of_birth)
        except ValueError:
            contact.date_of_birth = None
            contact.__dict__["_strange_names"] = contact._strange | {"dateOfBirth"}
    read_v3_dnd(contact)


class _ContactAnswer(Struct, rename="camel", gc=False):
    contact: Contact
    new: bool | None = None
    trace_id: str | None = None


class _RawContactAnswer(Struct, rename="camel"):
    contact: msgspec.Raw
    new: bool | None = None
    trace_id: Any = None


_ANSWER: Final = msgspec.json.Decoder(_ContactAnswer)
_RAW_ANSWER: Final = msgspec.json.Decoder(_RawContactAnswer)


def decode_contact(body: bytes) -> Contact:
    """Decode the contact of an answer `{"contact": {...}}` to a read by id or an update, as `read_contact` does.

    Raises:
        msgspec.DecodeError: It is no such answer, or the contact has no `id`.
    """
    return _decode_answer(body).contact


def decode_created(body: bytes) -> Contact:
    """Decode the contact of an answer to a creation before v3, which leaves fields out; as `decode_contact`."""
    return read_contact(_RAW_ANSWER.decode(body).contact, Contact, "created")


def decode_upsert(body: bytes) -> UpsertResult:
    """Decode the answer to an upsert, as `decode_contact` does; it must also say whether the contact is new."""
    answer = _decode_answer(body)
    if answer.new is None:
        raise msgspec.ValidationError("the answer does not say whether the contact is new")
    return UpsertResult(new=answer.new, contact=answer.contact, trace_id=answer.trace_id)


def _decode_answer(body: bytes) -> _ContactAnswer:
    try:
        answer = _ANSWER.decode(body)
    except msgspec.ValidationError:
        return _decode_leniently(body)
    check_id(answer.contact)
    answer.contact.__dict__["_answer"] = body
    _settle(answer.contact)
    return answer


def _decode_leniently(body: bytes) -> _ContactAnswer:
    answer = _RAW_ANSWER.decode(body)
    trace_id = answer.trace_id if isinstance(answer.trace_id, str) else None
    return _ContactAnswer(read_contact(answer.contact, Contact, "whole"), answer.new, trace_id)


def read_v3_dnd(contact: Contact) -> None:
    """Put in the do-not-disturb settings of a received contact where they came in the spelling of v3."""
    if contact.dnd_settings is not None and contact.dnd_settings == _NO_DND:
        contact.dnd_settings = _decode_v3_dnd(contact.raw)


def _decode_v3_dnd(raw: bytes) -> DndSettings:
    """Decode do-not-disturb settings that came in the spelling of v3 (or are empty)."""
    settings = msgspec.json.decode(raw)["dndSettings"]
    try:
        return msgspec.convert(_respell_keys(settings, _DND_SPELLINGS), DndSettings)
    except msgspec.ValidationError:
        return _NO_DND


def _spellings(model: type[Struct]) -> dict[str, str]:
    fields = msgspec.structs.fields(model)
    return {name: field.encode_name for field in fields for name in (field.name, field.encode_name)}


UPSERT_NAMES: Final = _spellings(ContactUpsert)
"""Each spelling of a field of `ContactUpsert` (snake_case and camelCase) and its name on the wire."""
_NAMES: Final[dict[type[Struct], dict[str, str]]] = {
    ContactUpsert: UPSERT_NAMES,
    ContactUpdate: _spellings(ContactUpdate),
}
_PYTHON_NAMES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(ContactUpsert)}


def read_mapping(row: Mapping[str, object], model: type[_Model]) -> _Model:
    """Make a contact or an update from a dict whose keys are snake_case or camelCase.

    Raises:
        InvalidContactError: A key is unknown or given in both spellings, or a value is of the wrong type.
    """
    names = _NAMES[model]
    try:
        wire = {names[key]: value for key, value in row.items()}
    except KeyError as error:
        raise _unknown_field(error.args[0], names) from None
    if len(wire) != len(row):
        raise InvalidContactError("a field is given twice, in snake_case and in camelCase")
    if "dndSettings" in wire or "customFields" in wire:
        _respell_nested(wire)
    try:
        return msgspec.convert(wire, model)
    except msgspec.ValidationError as error:
        raise _invalid_contact(error) from None


def _unknown_field(name: object, names: Mapping[str, str]) -> InvalidContactError:
    known = ", ".join(_PYTHON_NAMES[wire] for wire in dict.fromkeys(names.values()))
    return InvalidContactError(f"unknown field {name!r}; known are {known}", field=str(name))


def _respell_nested(wire: dict[str, Any]) -> None:
    """Let nested keys, too, come in the spelling of any version."""
    settings, fields = wire.get("dndSettings"), wire.get("customFields")
    if isinstance(settings, Mapping):
        wire["dndSettings"] = _respell_keys(settings, _DND_SPELLINGS)
    if isinstance(fields, list):
        wire["customFields"] = [
            _respell_keys(field, {"fieldValue": "field_value"}) if isinstance(field, Mapping) else field
            for field in fields
        ]


def _respell_keys(values: Mapping[str, Any], spellings: Mapping[str, str]) -> dict[str, Any]:
    return {spellings.get(name, name): value for name, value in values.items()}


def _invalid_contact(error: Exception) -> InvalidContactError:
    sentence, field = describe(error, _PYTHON_NAMES, what="the contact")
    return InvalidContactError(sentence, field=field)
