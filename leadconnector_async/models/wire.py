"""Encode and decode contacts. This is the one place that knows how the API versions differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import InvalidContactError
from .contacts import SHAPES, Contact, ContactUpdate, ContactUpsert, ShapeName, UpsertResult, written_name
from .dnd import V3_CHANNELS, give_way
from .fields import FIELD_OF, ContactField, Operation, given_fields
from .given import is_plain, read_given
from .normal import read_birthday
from .structs import ENCODING_ERRORS, check_id, describe, read_received

AnySendable = TypeVar("AnySendable", bound=ContactUpsert | ContactUpdate)
_Contact = TypeVar("_Contact", bound=Contact)
_GOT_NULL: Final = re.compile(r": expected .*, got null")  # after the name of a field, and nothing within it
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODERS: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {
    model: msgspec.json.Decoder(model) for model in (ContactUpsert, ContactUpdate)
}


def as_given(contact: AnySendable) -> AnySendable:
    """Return a contact or an update without values that stand for nothing, and with Structs where dicts stood in it.

    Raises:
        InvalidContactError: A key of such a dict is unknown, or a value is of the wrong type; the message names it.
    """
    return _check(contact)[0]


def _check(contact: AnySendable) -> tuple[AnySendable, bytes]:
    """Check the type of each value of a contact, and return the contact as it is meant and its JSON.

    Structs do not check what they are given, and the service's own refusal would cost a call. Decoding does.
    """
    model = type(contact)
    decode = _DECODERS[model].decode
    with suppress(*ENCODING_ERRORS):
        body = _ENCODE(contact)
        # What reads back the same holds no NaN and no dict. Typed custom fields, though, read back as plain ones.
        if decode(body) == contact or is_plain(contact):
            return contact, body
    try:
        body = _ENCODE(read_given(contact, model))
        return decode(body), body
    except ENCODING_ERRORS as error:
        raise _invalid_contact(error, model) from None


def encode_contact(contact: ContactUpsert | ContactUpdate, *, v3: bool = False, is_checked: bool = False) -> bytes:
    """Encode a contact for the wire, and check the type of each of its values.

    Args:
        contact: What to encode; fields that are not set, or are NaN, are left out.
        v3: Spell `dndSettings` and `customFields` as version v3 does.
        is_checked: Whether it comes from `as_given` or `read_mapping`, which check the same.

    Raises:
        InvalidContactError: A value is of the wrong type; the message names the field.
    """
    if is_checked:
        try:
            body = _ENCODE(contact)
        except ENCODING_ERRORS as error:
            raise _invalid_contact(error, type(contact)) from None
    else:
        contact, body = _check(contact)
    has_null_words = b"null" in body and (contact.dnd_settings or contact.inbound_dnd_settings)
    if has_null_words or (v3 and (contact.dnd_settings or contact.custom_fields)):
        return _respell(body, v3=v3)
    return body


def refuse_nulls(
    contact: ContactUpsert | ContactUpdate, operation: Operation, version: str, *, what: str | None = None
) -> None:
    """Refuse null for a field for which an operation in a version of the API does not take it, though others do.

    Args:
        contact: What is to be sent.
        operation: How.
        version: In which version of the API.
        what: What does not accept the null, as the message has it; the operation in that version by default.

    Raises:
        InvalidContactError: There is such a field; the message names it, and what empties it.
    """
    for field in given_fields(contact):
        if getattr(contact, field.name) is None and not field.takes_null(operation, version):
            raise _no_null(field, operation, what or f"this {operation} in version {version} of the API")


def _no_null(field: ContactField, operation: Operation, what: str) -> InvalidContactError:
    sentence = f"{field.name}: null is not accepted by {what}; {field.how_to_clear(operation)}"
    return InvalidContactError(sentence, field=field.name)


def _respell(body: bytes, *, v3: bool) -> bytes:
    contact = msgspec.json.decode(body)
    for name in ("dndSettings", "inboundDndSettings"):
        if name in contact:
            contact[name] = {channel: _without_nulls(setting) for channel, setting in contact[name].items()}
    if v3 and "dndSettings" in contact:
        contact["dndSettings"] = {V3_CHANNELS[name]: value for name, value in contact["dndSettings"].items()}
    for field in contact.get("customFields", ()) if v3 else ():
        field["fieldValue"] = field.pop("field_value")
    return _ENCODE(contact)


def _without_nulls(setting: Mapping[str, str | None]) -> dict[str, str]:
    """Leave out a null `message` or `code`, which says no more than none and which not every version takes."""
    return {name: word for name, word in setting.items() if word is not None}


def held_channels(stored: Contact) -> dict[str, Any]:
    """Return what a contact holds of do-not-disturb by channel, to the letter: unknown channels and words as well.

    Whether `dndSettings` replace all channels of a contact or those that they name is not known of the service. Sent
    along as they are, the others stay as they are either way.
    """
    held = msgspec.json.decode(stored.raw).get("dndSettings")
    entries = held.items() if isinstance(held, dict) else ()
    return {channel: _without_nulls(entry) for channel, entry in entries if isinstance(entry, dict)}


def join_channels(sent: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """Return channels that are held, but for those that are sent, in whatever spelling, and then these."""
    named = {channel.lower() for channel in sent}
    return {channel: entry for channel, entry in held.items() if channel.lower() not in named} | dict(sent)


def send_along(body: bytes, held: Mapping[str, Any]) -> bytes:
    """Add channels that a contact holds to a body that names others; one that names none stays as it is."""
    contact = msgspec.json.decode(body)
    if not held or not contact.get("dndSettings"):
        return body
    return _ENCODE({**contact, "dndSettings": join_channels(contact["dndSettings"], held)})


def without_refused(contact: AnySendable, channels: Iterable[str]) -> AnySendable | None:
    """Return a contact without do-not-disturb channels that the service refused to change for good; see `give_way`.

    Args:
        contact: What was sent.
        channels: Those that the answer names.

    Returns:
        What to send in its place; None where it is not known what is meant, or nothing would be left to change.
    """
    settings = contact.dnd_settings
    left = None if isinstance(settings, UnsetType) else give_way(settings, channels)
    if left is None:
        return None
    allowed = msgspec.structs.replace(contact, dnd_settings=left if left.by_channel() else UNSET)
    return None if allowed == type(contact)() else allowed


def read_contact(raw: bytes | msgspec.Raw, model: type[_Contact], shape: ShapeName) -> _Contact:
    """Read a contact that an operation returned, whatever the API version.

    A value that is not of the documented kind is left out and kept in `Contact.extra`, so that a change of the service
    never turns a call that succeeded into one that failed.

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
    _normalise_birthday(contact)
    return contact


def _take_first(contact: Contact, field: str, sources: tuple[str, ...]) -> None:
    for source in sources:
        if (value := getattr(contact, source, None)) is not None:
            if source == "contact_name":
                value = written_name(value, contact.first_name, contact.last_name)
            setattr(contact, field, value)
            return


def _normalise_birthday(contact: Contact) -> None:
    """Bring a birthday into one form; one that cannot be read is kept as something strange."""
    if contact.date_of_birth is not None:
        try:
            contact.date_of_birth = read_birthday(contact.date_of_birth)
        except ValueError:
            contact.date_of_birth = None
            contact.__dict__["_strange_names"] = contact._strange | {"dateOfBirth"}


class _ContactAnswer(Struct, rename="camel", gc=False):
    contact: Contact
    new: bool | None = None
    trace_id: str | None = None
    succeded: bool | None = None  # the service's own spelling, up to v3
    succeeded: bool | None = None


class _RawContactAnswer(Struct, rename="camel"):
    contact: msgspec.Raw
    new: bool | None = None
    trace_id: Any = None
    succeded: Any = None
    succeeded: Any = None


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
    answer = _RAW_ANSWER.decode(body)
    _check_success(answer)
    return read_contact(answer.contact, Contact, "created")


def decode_upsert(body: bytes) -> UpsertResult:
    """Decode the answer to an upsert, as `decode_contact` does; it must also say whether the contact is new."""
    answer = _decode_answer(body)
    if answer.new is None:
        raise msgspec.ValidationError("the answer does not say whether the contact is new")
    return UpsertResult(new=answer.new, contact=answer.contact, trace_id=answer.trace_id)


def decode_by_id(body: bytes) -> UpsertResult:
    """Decode the answer to a read or an update of a contact by its id, as that of an upsert which created nothing."""
    answer = _decode_answer(body)
    return UpsertResult(new=False, contact=answer.contact, trace_id=answer.trace_id)


def decode_creation(body: bytes) -> UpsertResult:
    """Decode the answer to a creation as that of an upsert that created the contact."""
    answer = _RAW_ANSWER.decode(body)
    _check_success(answer)
    contact = read_contact(answer.contact, Contact, "created")
    return UpsertResult(new=True, contact=contact, trace_id=_text_or_none(answer.trace_id))


def decode_creation_v3(body: bytes) -> UpsertResult:
    """Decode the answer to a creation with v3, which holds the whole contact; as `decode_creation`."""
    answer = _decode_answer(body)
    return UpsertResult(new=True, contact=answer.contact, trace_id=answer.trace_id)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _decode_answer(body: bytes) -> _ContactAnswer:
    try:
        answer = _ANSWER.decode(body)
    except msgspec.ValidationError:
        return _decode_leniently(body)
    _check_success(answer)
    check_id(answer.contact)
    answer.contact.__dict__["_answer"] = body
    _normalise_birthday(answer.contact)
    return answer


def _decode_leniently(body: bytes) -> _ContactAnswer:
    answer = _RAW_ANSWER.decode(body)
    _check_success(answer)
    contact = read_contact(answer.contact, Contact, "whole")
    return _ContactAnswer(contact, answer.new, _text_or_none(answer.trace_id))


def _check_success(answer: _ContactAnswer | _RawContactAnswer) -> None:
    if answer.succeded is False or answer.succeeded is False:
        raise msgspec.ValidationError("the answer says that it did not succeed")


def _spellings(model: type[Struct]) -> dict[str, str]:
    fields = msgspec.structs.fields(model)
    return {name: field.encode_name for field in fields for name in (field.name, field.encode_name)}


UPSERT_NAMES: Final = _spellings(ContactUpsert)
"""Each spelling of a field of `ContactUpsert` (snake_case and camelCase) and its name on the wire."""
_PYTHON_NAMES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(ContactUpsert)}


def read_mapping(row: Mapping[str, object], model: type[AnySendable]) -> AnySendable:
    """Make a contact or an update from a dict whose keys are snake_case or camelCase.

    Args:
        row: The dict; dicts within it may have either spelling, too. Structs may stand in it. A value that stands for
            nothing (NaN, an infinity, NaT, pandas.NA) is taken as not given, at any depth.
        model: What to make.

    Raises:
        InvalidContactError: A key, at any depth, is unknown or given in both spellings, or a value is of the wrong
            type. The message names it, and where it stands.
    """
    try:
        return msgspec.convert(read_given(row, model), model)
    except ENCODING_ERRORS as error:
        raise _invalid_contact(error, model) from None


def read_plain(fields: Mapping[str, object], model: type[AnySendable]) -> AnySendable:
    """Make a contact or an update of values that nothing has to be taken out of, by their names on the wire.

    Raises:
        InvalidContactError: A value is of the wrong type.
    """
    try:
        return msgspec.convert(fields, model)
    except ENCODING_ERRORS as error:
        raise _invalid_contact(error, model) from None


def _invalid_contact(error: Exception, model: type[Struct]) -> InvalidContactError:
    sentence, field = describe(error, _PYTHON_NAMES, what="the contact")
    if field is not None and field in FIELD_OF and _GOT_NULL.fullmatch(sentence, len(field)):
        operation: Operation = "update" if model is ContactUpdate else "upsert"
        return _no_null(FIELD_OF[field], operation, "any version of the API")
    return InvalidContactError(sentence, field=field)
