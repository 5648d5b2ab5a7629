"""Every operation of the specification has a method and a field for all it takes and gives, and does what it says.

Each is called in each version against the sandbox, which must have got what the specification says is sent.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import pytest

import leadconnector_async as lca
from leadconnector_async import ContactUpdate, ContactUpsert, LeadConnector, NotFoundError
from leadconnector_async.models.search import SearchBody, SearchPage
from leadconnector_async.sandbox import Applied, Sandbox
from tests import specification
from tests.conftest import LOCATION, OpenSandbox
from tests.specification import LOCATIONS, OBJECTS, OPERATIONS, Operation

VERSIONS = tuple(OPERATIONS)
ALL = {operation.name: operation for operation in (*OPERATIONS["2021-07-28"], *LOCATIONS)}
BUSINESS = "641c094001436dbc2081e642"
NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)

# Which method of ours is which operation; remove_from_many has a twin that is told to remove all.
METHODS = {
    "search-contacts-advanced": "contacts.search_page",
    "get-duplicate-contact": "contacts.find_duplicate",
    "get-all-tasks": "contacts.tasks.list",
    "create-task": "contacts.tasks.create",
    "get-task": "contacts.tasks.get",
    "update-task": "contacts.tasks.update",
    "delete-task": "contacts.tasks.delete",
    "update-task-completed": "contacts.tasks.complete",
    "get-appointments-for-contact": "contacts.appointments",
    "add-tags": "contacts.tags.add",
    "remove-tags": "contacts.tags.remove",
    "get-all-notes": "contacts.notes.list",
    "create-note": "contacts.notes.create",
    "get-note": "contacts.notes.get",
    "update-note": "contacts.notes.update",
    "delete-note": "contacts.notes.delete",
    "create-association": "contacts.tags.remove_from_many",
    "add-remove-contact-from-business": "contacts.set_business",
    "get-contact": "contacts.get",
    "update-contact": "contacts.update",
    "delete-contact": "contacts.delete",
    "upsert-contact": "contacts.upsert",
    "get-contacts-by-businessId": "contacts.by_business",
    "add-followers-contact": "contacts.followers.add",
    "remove-followers-contact": "contacts.followers.remove",
    "add-contact-to-campaign": "contacts.campaigns.add",
    "remove-contact-from-campaign": "contacts.campaigns.remove",
    "remove-contact-from-every-campaign": "contacts.campaigns.remove_from_all",
    "add-contact-to-workflow": "contacts.workflows.add",
    "delete-contact-from-workflow": "contacts.workflows.remove",
    "create-contact": "contacts.create",
    "get-contacts": "contacts.list_page",
    "search-locations": "locations.search",
    "get-location": "locations.get",
    "get-custom-fields": "locations.custom_fields.list",
    "create-custom-field": "locations.custom_fields.create",
    "get-custom-field": "locations.custom_fields.get",
    "update-custom-field": "locations.custom_fields.update",
    "delete-custom-field": "locations.custom_fields.delete",
}

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "contact": lca.Contact,
    "created contact": lca.Contact,
    "listed contact": lca.FoundContact,
    "found contact": lca.FoundContact,
    "attribution": lca.AttributionSource,
    "note": lca.Note,
    "task": lca.Task,
    "appointment": lca.Appointment,
    "tag result": lca.TagResult,
    "location": lca.Location,
    "business": lca.LocationBusiness,
    "social": lca.LocationSocial,
    "settings": lca.LocationSettings,
    "found location": lca.Location,
    "custom field": lca.CustomFieldDefinition,
    "text box": lca.TextBoxOption,
}

# Names that are others with us. A flag of success is an exception where it is not set.
RENAMED = {
    "number": "phone",
    "contacts": "contact_ids",
    "ids": "contact_ids",
    "followers": "user_ids",
    "limit": "page_size",
    "pageLimit": "page_size",
}
CONTACT_BODIES = {
    "upsert-contact": ContactUpsert,
    "create-contact": ContactUpsert,
    "update-contact": ContactUpdate,
}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def wire_names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def method_of(client: object, name: str) -> Callable[..., Any]:
    for part in name.split("."):
        client = getattr(client, part)
    assert callable(client)
    return client


# ---------------------------------------------------------------------------------------------- the table


def test_each_operation_has_a_method() -> None:
    assert METHODS.keys() == ALL.keys()
    assert len(OPERATIONS["2021-07-28"]) == 32
    client = LeadConnector("x")
    for name in METHODS.values():
        assert inspect.getdoc(method_of(client, name)), name


@pytest.mark.parametrize("version", VERSIONS)
def test_each_name_that_is_sent_has_a_parameter_or_field(version: str) -> None:
    client = LeadConnector("x")
    for operation in (*OPERATIONS[version], *LOCATIONS):
        known = set(inspect.signature(method_of(client, METHODS[operation.name])).parameters)
        if operation.name in CONTACT_BODIES:
            known |= {snake(name) for name in wire_names(CONTACT_BODIES[operation.name])}
        if operation.name == "create-association":
            known |= {"remove_all_tags"}  # a method of its own
        for name in f"{operation.query} {operation.body}".split():
            assert {snake(name), RENAMED.get(name)} & known, f"{operation.name}: {name}"


def test_each_field_that_comes_back_has_an_attribute() -> None:
    assert STRUCTS.keys() == OBJECTS.keys()
    for kind, names in OBJECTS.items():
        assert set(names.split()) <= wire_names(STRUCTS[kind]), kind
    for kind in ("listed contact", "found contact"):
        assert set(specification.SEEN[kind].split()) <= wire_names(STRUCTS[kind]), kind
    assert set(specification.SEARCH_BODY.split()) == wire_names(SearchBody)
    assert {snake(name) for name in specification.SEARCH_ANSWER.split()} <= set(SearchPage.__struct_fields__)
    followers = wire_names(lca.FollowersChange)
    assert set("followers followersAdded followersRemoved".split()) <= followers


# ---------------------------------------------------------------------------------------------- each one called


class World:
    """A client on a sandbox with one contact in it, and what the sandbox was sent."""

    def __init__(self, client: LeadConnector, sandbox: Sandbox, applied: list[Applied]) -> None:
        self.contacts = client.contacts
        self.locations = client.locations
        self.version = client.api_version
        self.sandbox = sandbox
        self.applied = applied
        self.id: str = sandbox.add_contact(LOCATION, email="rosan@deos.com", tags=["lead"])["id"]

    @property
    def stored(self) -> dict[str, Any]:
        contact = self.sandbox.contact(self.id)
        assert contact is not None
        return contact

    async def note(self) -> str:
        return (await self.contacts.notes.create(self.id, "call back")).id

    async def task(self) -> str:
        return (await self.contacts.tasks.create(self.id, "call", due_date=NOON)).id

    async def field(self) -> str:
        return (await self.locations.custom_fields.create("Shoe size", "TEXT")).id


Check: TypeAlias = Callable[[World], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def checks(name: str) -> Callable[[Check], Check]:
    return lambda check: CHECKS.setdefault(name, check)


@checks("search-contacts-advanced")
async def _(world: World) -> None:
    world.sandbox.add_contact(LOCATION, email="other@deos.com")
    page = await world.contacts.search_page(
        lca.Filter("email", "eq", "rosan@deos.com"), query="rosan", sort=lca.Sort("email", "desc"), page_size=5, page=1
    )
    assert [contact.id for contact in page.contacts] == [world.id]
    assert (page.total, bool(page.trace_id)) == (1, True)
    assert page.search_after == page.contacts[0].search_after
    rest = await world.contacts.search_page(
        sort=[lca.Sort("email", "desc")], page_size=5, search_after=page.search_after
    )
    assert [contact.email for contact in rest.contacts] == ["other@deos.com"]


@checks("get-duplicate-contact")
async def _(world: World) -> None:
    found = await world.contacts.find_duplicate(email="Rosan@deos.com")
    assert found is not None
    assert found.id == world.id
    world.sandbox.add_contact(LOCATION, phone="+16175550100")
    found = await world.contacts.find_duplicate(phone="+16175550100")
    assert found is not None
    assert found.phone == "+16175550100"
    assert await world.contacts.find_duplicate(email="nobody+else@deos.com") is None


@checks("get-all-tasks")
async def _(world: World) -> None:
    assert await world.contacts.tasks.list(world.id) == []
    task_id = await world.task()
    assert [task.id for task in await world.contacts.tasks.list(world.id)] == [task_id]


@checks("create-task")
async def _(world: World) -> None:
    task = await world.contacts.tasks.create(
        world.id, "call", body="at noon", due_date=NOON, completed=True, assigned_to="user1"
    )
    assert (task.title, task.body, task.due_date) == ("call", "at noon", "2026-10-25T12:00:00.000Z")
    assert (task.completed, task.assigned_to, task.contact_id) == (True, "user1", world.id)
    assert [stored["id"] for stored in world.sandbox.tasks(world.id)] == [task.id]


@checks("get-task")
async def _(world: World) -> None:
    task = await world.contacts.tasks.get(world.id, await world.task())
    assert (task.title, task.completed) == ("call", False)


@checks("update-task")
async def _(world: World) -> None:
    task_id = await world.task()
    task = await world.contacts.tasks.update(
        world.id,
        task_id,
        title="write",
        body="soon",
        due_date="2026-11-01T00:00:00Z",
        completed=True,
        assigned_to="user2",
    )
    assert (task.title, task.body, task.completed, task.assigned_to) == ("write", "soon", True, "user2")
    assert world.sandbox.tasks(world.id)[0]["title"] == "write"


@checks("delete-task")
async def _(world: World) -> None:
    await world.contacts.tasks.delete(world.id, await world.task())
    assert world.sandbox.tasks(world.id) == []


@checks("update-task-completed")
async def _(world: World) -> None:
    task_id = await world.task()
    assert (await world.contacts.tasks.complete(world.id, task_id)).completed is True
    assert (await world.contacts.tasks.complete(world.id, task_id, completed=False)).completed is False


@checks("get-appointments-for-contact")
async def _(world: World) -> None:
    assert await world.contacts.appointments(world.id) == []
    event = world.sandbox.add_appointment(world.id, title="Tour", users=["user1"], startTime="2026-11-01 10:00:00")
    (appointment,) = await world.contacts.appointments(world.id)
    assert (appointment.id, appointment.title, appointment.users) == (event["id"], "Tour", ["user1"])
    assert appointment.start_time == "2026-11-01 10:00:00"


@checks("add-tags")
async def _(world: World) -> None:
    assert await world.contacts.tags.add(world.id, ["VIP"]) == ["lead", "vip"]
    assert await world.contacts.add_tags(world.id, ["two"]) == world.stored["tags"] == ["lead", "vip", "two"]


@checks("remove-tags")
async def _(world: World) -> None:
    assert await world.contacts.tags.remove(world.id, ["Lead"]) == []
    assert await world.contacts.remove_tags(world.id, ["lead"]) == world.stored["tags"] == []


@checks("get-all-notes")
async def _(world: World) -> None:
    note_id = await world.note()
    assert [note.id for note in await world.contacts.notes.list(world.id)] == [note_id]


@checks("create-note")
async def _(world: World) -> None:
    note = await world.contacts.notes.create(
        world.id, "call back", title="News", color="#FFAA00", pinned=True, user_id="user1"
    )
    assert (note.body, note.title, note.color, note.pinned) == ("call back", "News", "#FFAA00", True)
    assert (note.user_id, note.contact_id, bool(note.date_added)) == ("user1", world.id, True)
    assert [stored["id"] for stored in world.sandbox.notes(world.id)] == [note.id]


@checks("get-note")
async def _(world: World) -> None:
    assert (await world.contacts.notes.get(world.id, await world.note())).body == "call back"


@checks("update-note")
async def _(world: World) -> None:
    note_id = await world.note()
    note = await world.contacts.notes.update(
        world.id, note_id, body="called", title="Done", color="#000000", pinned=False, user_id="user2"
    )
    assert (note.body, note.title, note.color, note.pinned, note.user_id) == (
        "called",
        "Done",
        "#000000",
        False,
        "user2",
    )
    assert world.sandbox.notes(world.id)[0]["body"] == "called"


@checks("delete-note")
async def _(world: World) -> None:
    await world.contacts.notes.delete(world.id, await world.note())
    assert world.sandbox.notes(world.id) == []


@checks("create-association")
async def _(world: World) -> None:
    report = await world.contacts.tags.add_to_many([world.id, "nobody"], ["VIP"])
    assert [(result.contact_id, result.is_done) for result in report.results] == [(world.id, True), ("nobody", False)]
    assert (report.error_count, report.results[0].tags_added, report.results[0].old_tags) == (1, ["vip"], ["lead"])
    assert report.failed[0].message
    await world.contacts.tags.remove_from_many([world.id], ["vip"])
    assert world.stored["tags"] == ["lead"]
    report = await world.contacts.tags.remove_all_from_many([world.id])
    assert (report.failed, world.stored["tags"]) == ([], [])


@checks("add-remove-contact-from-business")
async def _(world: World) -> None:
    assert await world.contacts.set_business([world.id], BUSINESS) == [world.id]
    assert world.stored["businessId"] == BUSINESS
    assert await world.contacts.set_business([world.id], None) == [world.id]
    assert world.stored.get("businessId") is None


@checks("get-contact")
async def _(world: World) -> None:
    contact = await world.contacts.get(world.id)
    assert (contact.email, contact.tags, contact.location_id) == ("rosan@deos.com", ["lead"], LOCATION)


FULL: dict[str, Any] = {
    "first_name": "Rosan",
    "last_name": "Deo",
    "name": "Rosan Deo",
    "email": "rosan@deos.com",
    "phone": "+1 888-888-8888",
    "address1": "3535 1st St N",
    "city": "Dolomite",
    "state": "AL",
    "postal_code": "35061",
    "country": "US",
    "website": "https://www.tesla.com",
    "timezone": "America/Chihuahua",
    "dnd": True,
    "dnd_settings": {channel: {"status": "active"} for channel in ("call", "email", "sms", "whats_app", "gmb", "fb")},
    "inbound_dnd_settings": {"all": {"status": "active"}},
    "tags": ["one"],
    "custom_fields": [{"key": "nickname", "field_value": "Ros"}],
    "source": "public api",
    "date_of_birth": "1990-09-25",
    "assigned_to": "y0BeYjuRIlDwsDcOHOJo",
}


def check_full(world: World, contact: lca.Contact) -> None:
    assert (contact.name, contact.phone, contact.tags) == ("Rosan Deo", "+18888888888", ["one"])
    settings = contact.dnd_settings
    assert settings is not None
    channels = (settings.call, settings.email, settings.sms, settings.whats_app, settings.gmb, settings.fb)
    assert all(isinstance(channel, lca.DndSetting) and channel.status == "active" for channel in channels)
    assert contact.custom_fields is not None
    assert [field.value for field in contact.custom_fields] == ["Ros"]
    sent = world.applied[-1].sent
    assert set(sent["dndSettings"]) == set(specification.DND[world.version].split())
    assert sent["customFields"] == [{"key": "nickname", specification.CUSTOM_FIELD[world.version]: "Ros"}]


@checks("update-contact")
async def _(world: World) -> None:
    check_full(world, await world.contacts.update(world.id, FULL))
    assert world.stored["city"] == "Dolomite"


@checks("delete-contact")
async def _(world: World) -> None:
    await world.contacts.delete(world.id)
    assert world.sandbox.contacts() == []
    with pytest.raises(NotFoundError):
        await world.contacts.get(world.id)


@checks("upsert-contact")
async def _(world: World) -> None:
    result = await world.contacts.upsert(
        {**FULL, "gender": "male", "company_name": "DGS VolMAX", "create_new_if_duplicate_allowed": False}
    )
    assert (result.new, result.contact.id, bool(result.trace_id)) == (False, world.id, True)
    assert result.contact.company_name == "DGS VolMAX"
    check_full(world, result.contact)


@checks("create-contact")
async def _(world: World) -> None:
    await world.contacts.delete(world.id)
    contact = await world.contacts.create({**FULL, "gender": "male", "company_name": "DGS VolMAX"})
    assert (contact.email, contact.company_name) == ("rosan@deos.com", "DGS VolMAX")
    assert world.sandbox.contact(contact.id) is not None
    sent = world.applied[-1].sent
    assert set(sent["dndSettings"]) == set(specification.DND[world.version].split())


@checks("get-contacts-by-businessId")
async def _(world: World) -> None:
    ids = [world.id, *(world.sandbox.add_contact(LOCATION, email=f"{name}@deos.com")["id"] for name in "abc")]
    assert await world.contacts.set_business(ids[:3], BUSINESS) == ids[:3]
    page = await world.contacts.by_business(BUSINESS)
    assert {contact.id for contact in page.contacts} == set(ids[:3])
    assert page.count == 3
    first = await world.contacts.by_business(BUSINESS, limit=2)
    rest = await world.contacts.by_business(BUSINESS, limit=2, skip=2)
    assert sorted(contact.id for contact in (*first.contacts, *rest.contacts)) == sorted(ids[:3])
    assert [c.id for c in (await world.contacts.by_business(BUSINESS, query="rosan")).contacts] == [world.id]
    if world.version == "v3":
        names = ["Deo, Ann", "deo, ann", "Bo"]  # the fourth has none; two have the same, with a comma in it
        for contact_id, name in zip(ids[:3], names, strict=True):
            await world.contacts.update(contact_id, {"name": name})
        await world.contacts.set_business(ids, BUSINESS)
        seen, after = [], None
        while contacts := (await world.contacts.by_business(BUSINESS, limit=1, start_after=after)).contacts:
            seen.append(contacts[0].id)
            after = [contacts[0].contact_name or "", contacts[0].id]
        assert seen == [ids[2], *sorted(ids[:2]), ids[3]]
    else:
        with pytest.raises(lca.UsageError, match="v3"):
            await world.contacts.by_business(BUSINESS, start_after=["Rosan", world.id])


@checks("add-followers-contact")
async def _(world: World) -> None:
    change = await world.contacts.followers.add(world.id, ["user1", "user2"])
    assert (change.followers, change.followers_added) == (["user1", "user2"], ["user1", "user2"])
    assert world.stored["followers"] == ["user1", "user2"]


@checks("remove-followers-contact")
async def _(world: World) -> None:
    await world.contacts.followers.add(world.id, ["user1", "user2"])
    change = await world.contacts.followers.remove(world.id, ["user1"])
    assert (change.followers, change.followers_removed) == (["user2"], ["user1"])


@checks("add-contact-to-campaign")
async def _(world: World) -> None:
    await world.contacts.campaigns.add(world.id, "campaign1")
    assert world.sandbox.campaigns(world.id) == ["campaign1"]


@checks("remove-contact-from-campaign")
async def _(world: World) -> None:
    await world.contacts.campaigns.add(world.id, "campaign1")
    await world.contacts.campaigns.remove(world.id, "campaign1")
    assert world.sandbox.campaigns(world.id) == []


@checks("remove-contact-from-every-campaign")
async def _(world: World) -> None:
    for campaign in ("campaign1", "campaign2"):
        await world.contacts.campaigns.add(world.id, campaign)
    await world.contacts.campaigns.remove_from_all(world.id)
    assert world.sandbox.campaigns(world.id) == []


@checks("add-contact-to-workflow")
async def _(world: World) -> None:
    await world.contacts.workflows.add(world.id, "workflow1", event_start_time=NOON)
    assert world.sandbox.workflows(world.id) == ["workflow1"]


@checks("delete-contact-from-workflow")
async def _(world: World) -> None:
    await world.contacts.workflows.add(world.id, "workflow1")
    await world.contacts.workflows.remove(world.id, "workflow1", event_start_time="2021-06-23T03:30:00+01:00")
    assert world.sandbox.workflows(world.id) == []


@checks("get-contacts")
async def _(world: World) -> None:
    ids = {world.id, *(world.sandbox.add_contact(LOCATION, email=f"{name}@deos.com")["id"] for name in "ab")}
    first = await world.contacts.list_page(limit=2)
    assert (len(first.contacts), first.count) == (2, 3)
    rest = await world.contacts.list_page(limit=2, start_after=first.start_after, start_after_id=first.start_after_id)
    assert {contact.id for contact in (*first.contacts, *rest.contacts)} == ids
    assert [contact.id for contact in (await world.contacts.list_page(query="rosan")).contacts] == [world.id]


@checks("search-locations")
async def _(world: World) -> None:
    for location in ("another", "third"):
        world.sandbox.add_contact(location, email="a@b.co")
    found = [location async for location in world.locations.search(page_size=2, order="asc")]
    assert {location.id for location in found} >= {LOCATION, "another", "third"}
    assert len({location.id for location in found}) == len(found)
    (one,) = [location async for location in world.locations.search(email=found[1].email)]
    assert one.id == found[1].id
    rest = [location async for location in world.locations.search(skip=1)]
    assert [location.id for location in rest] == [location.id for location in found[1:]]


@checks("get-location")
async def _(world: World) -> None:
    location = await world.locations.get()
    assert location.id == LOCATION
    assert location.settings is not None
    assert location.settings.contact_unique_identifiers == ["email", "phone"]
    assert (await world.locations.get("another")).id == "another"


@checks("get-custom-fields")
async def _(world: World) -> None:
    field_id = await world.field()
    fields = await world.locations.custom_fields.list(model="contact")
    assert [field.field_key for field in fields if field.id == field_id] == ["contact.shoe_size"]
    assert field_id not in [field.id for field in await world.locations.custom_fields.list(model="opportunity")]


@checks("create-custom-field")
async def _(world: World) -> None:
    field = await world.locations.custom_fields.create(
        "Boxes",
        "TEXTBOX_LIST",
        placeholder="none",
        accepted_format=[".pdf"],
        is_multiple_file=False,
        max_number_of_files=1,
        text_box_list_options=[lca.TextBoxOption(label="First", prefill_value="")],
        position=3,
        model="contact",
    )
    assert (field.name, field.data_type, field.placeholder, field.model) == ("Boxes", "TEXTBOX_LIST", "none", "contact")
    colour = await world.locations.custom_fields.create(
        "Colour", "SINGLE_OPTIONS", text_box_list_options=["red", "blue"], **EVERY
    )
    assert colour.picklist_options == ["red", "blue"]
    result = await world.contacts.upsert(
        {"email": "rosan@deos.com", "custom_fields": [{"id": colour.id, "field_value": "red"}]}
    )
    assert result.contact.custom_fields is not None
    assert [(each.id, each.value) for each in result.contact.custom_fields] == [(colour.id, "red")]
    more = {"field_key": "contact.hat_size", "parent_id": "folder1", "description": "Of a hat"}
    hat = await world.locations.custom_fields.create("Size", "TEXT", **more)
    assert (hat.field_key, hat.parent_id, hat.description) == tuple(more.values())
    await world.contacts.update(world.id, {"custom_fields": [{"key": "hat_size", "field_value": "58"}]})
    assert {"id": hat.id, "value": "58"} in world.stored["customFields"]


EVERY: dict[str, Any] = {
    "placeholder": "?",
    "accepted_format": [],
    "is_multiple_file": False,
    "max_number_of_files": 1,
    "position": 4,
    "model": "contact",
}


@checks("get-custom-field")
async def _(world: World) -> None:
    assert (await world.locations.custom_fields.get(await world.field())).name == "Shoe size"


@checks("update-custom-field")
async def _(world: World) -> None:
    field_id = await world.field()
    field = await world.locations.custom_fields.update(field_id, "Size", text_box_list_options=["one"], **EVERY)
    assert (field.id, field.name, field.placeholder) == (field_id, "Size", "?")


@checks("delete-custom-field")
async def _(world: World) -> None:
    field_id = await world.field()
    await world.locations.custom_fields.delete(field_id)
    with pytest.raises(NotFoundError):
        await world.locations.custom_fields.get(field_id)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ALL)
async def test_each_operation_does_what_it_says(
    open_sandbox: OpenSandbox, connect: OpenSandbox, name: str, version: str
) -> None:
    applied: list[Applied] = []
    sandbox = await open_sandbox(on_applied=applied.append, unlimited=True)
    client = await connect(sandbox, api_version=version)
    await CHECKS[name](World(client, sandbox, applied))
    by_version = {operation.name: operation for operation in (*OPERATIONS[version], *LOCATIONS)}
    check_what_was_sent(by_version.get(name, ALL[name]), applied)  # v3 still answers the list that it does not name


def check_what_was_sent(operation: Operation, applied: list[Applied]) -> None:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
    mine = [call for call in applied if call.method == operation.method and re.fullmatch(pattern, call.path)]
    assert mine, [call.path for call in applied]
    known = (
        operation.body.split() if operation.name != "search-contacts-advanced" else specification.SEARCH_BODY.split()
    )
    assert {name for call in mine for name in call.sent} == set(known)
