"""Every operation on contacts, and those on locations, on a sandbox in this process.

python examples/every_operation.py

With a real account: LeadConnector("pit-...", location_id="...") in place of the two lines on the sandbox.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from leadconnector_async import ContactUpsert, Filter, LeadConnector, NotFoundError, Range, Sort, TextBoxOption, any_of
from leadconnector_async.sandbox import Sandbox

BUSINESS = "641c094001436dbc2081e642"
TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def one_contact(lc: LeadConnector) -> str:
    result = await lc.contacts.upsert(
        ContactUpsert(email="rosan@deos.com", first_name="Rosan", phone="+1 617 555 0100")
    )
    contact_id = result.contact.id
    contact = await lc.contacts.update(contact_id, {"city": "Boston"})
    contact = await lc.contacts.get(contact_id)
    print("contact:", contact.name, contact.city, "new:", result.new)

    other = await lc.contacts.create(ContactUpsert(email="other@deos.com"))
    await lc.contacts.delete(other.id)
    try:
        await lc.contacts.get(other.id)
    except NotFoundError:
        print("deleted: other@deos.com")
    return contact_id


async def notes_and_tasks(lc: LeadConnector, contact_id: str) -> None:
    note = await lc.contacts.notes.create(contact_id, "Call back", title="First call", pinned=True)
    note = await lc.contacts.notes.update(contact_id, note.id, body="Called back")
    note = await lc.contacts.notes.get(contact_id, note.id)
    print("notes:", [each.body for each in await lc.contacts.notes.list(contact_id)])
    await lc.contacts.notes.delete(contact_id, note.id)

    task = await lc.contacts.tasks.create(contact_id, "Send the offer", due_date=TOMORROW)
    task = await lc.contacts.tasks.update(contact_id, task.id, body="The new one")
    task = await lc.contacts.tasks.complete(contact_id, task.id)
    task = await lc.contacts.tasks.get(contact_id, task.id)
    print("tasks:", [(each.title, each.completed) for each in await lc.contacts.tasks.list(contact_id)])
    await lc.contacts.tasks.delete(contact_id, task.id)
    print("appointments:", len(await lc.contacts.appointments(contact_id)))


async def tags_and_links(lc: LeadConnector, contact_id: str) -> None:
    await lc.contacts.tags.add(contact_id, ["Lead", "VIP"])
    print("tags:", await lc.contacts.tags.remove(contact_id, ["lead"]))
    report = await lc.contacts.tags.add_to_many([contact_id, "nobody"], ["newsletter"])
    print("not tagged:", [(result.contact_id, result.message) for result in report.failed])
    await lc.contacts.tags.remove_from_many([contact_id], ["newsletter"])

    change = await lc.contacts.followers.add(contact_id, ["y0BeYjuRIlDwsDcOHOJo"])
    print("followers:", change.followers)
    await lc.contacts.followers.remove(contact_id, ["y0BeYjuRIlDwsDcOHOJo"])

    await lc.contacts.campaigns.add(contact_id, "Y2I9XM7aO1hncuSOlc9L")
    await lc.contacts.campaigns.remove(contact_id, "Y2I9XM7aO1hncuSOlc9L")
    await lc.contacts.campaigns.remove_from_all(contact_id)
    await lc.contacts.workflows.add(contact_id, "sx6wyHhbFdRXh302LLNR", event_start_time=TOMORROW)
    await lc.contacts.workflows.remove(contact_id, "sx6wyHhbFdRXh302LLNR")

    print("in the business:", await lc.contacts.set_business([contact_id], BUSINESS) == [contact_id])
    page = await lc.contacts.by_business(BUSINESS)
    print("of the business:", page.count)
    await lc.contacts.tags.remove_all_from_many([contact_id])


async def finding(lc: LeadConnector) -> None:
    await lc.contacts.bulk_upsert([{"email": f"person{number}@deos.com", "tags": ["vip"]} for number in range(25)])
    this_century = Filter("date_added", "range", Range(gte=datetime(2000, 1, 1, tzinfo=UTC)))
    count = 0
    async for contact in lc.contacts.search(any_of(Filter("tags", "eq", "vip"), this_century), page_size=10):
        count += contact.email is not None
    print("found:", count)

    found = await lc.contacts.search_page(Filter("tags", "eq", "vip"), sort=Sort("email", "desc"), page_size=1)
    print("the last of", found.total, "is", found.contacts[0].email)
    duplicate = await lc.contacts.find_duplicate(email="rosan@deos.com")
    print("there already:", duplicate is not None and duplicate.first_name)
    listed = await lc.contacts.list_page(limit=5)  # deprecated by the service
    print("listed:", len(listed.contacts), "of", listed.count)


async def locations(lc: LeadConnector) -> None:
    location = await lc.locations.get()
    if location.settings is not None:
        print("matched by:", location.settings.contact_unique_identifiers)
    async for each in lc.locations.search():  # of an agency; a token of a location may not
        print("location:", each.name)

    boxes = [TextBoxOption(label="Kitchen")]
    field = await lc.locations.custom_fields.create("Rooms", "TEXTBOX_LIST", text_box_list_options=boxes)
    field = await lc.locations.custom_fields.update(field.id, "Rooms of the house")
    field = await lc.locations.custom_fields.get(field.id)
    fields = await lc.locations.custom_fields.list(model="contact")
    print("custom field:", field.name, field.field_key, len(fields))
    await lc.locations.custom_fields.delete(field.id)


async def values(lc: LeadConnector) -> None:
    """What the service returns and this package does not name is there all the same, and has a type, too."""
    result = await lc.contacts.upsert(
        {"email": "rosan@deos.com", "customFields": [{"key": "nickname", "fieldValue": "Ros"}]}
    )
    for field in result.contact.custom_fields or []:
        print("custom field of the contact:", field.value)
    print("names that we have no attribute for:", sorted(result.contact.extra), len(result.contact.raw) > 0)


async def main() -> None:
    async with (
        Sandbox() as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="ve9EPM428h8vShlRW1KT") as lc,
    ):
        contact_id = await one_contact(lc)
        await notes_and_tasks(lc, contact_id)
        await tags_and_links(lc, contact_id)
        await finding(lc)
        await locations(lc)
        await values(lc)


asyncio.run(main())
