"""One contact, created and then updated, on a sandbox in this process.

    python examples/one_upsert.py

With a real account: LeadConnector("pit-...", location_id="...") in place of the two lines on the sandbox.
"""

import asyncio

from leadconnector_async import ContactUpsert, DuplicateContactError, LeadConnector, TextField
from leadconnector_async.sandbox import Sandbox


async def main() -> None:
    async with (
        Sandbox() as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="ve9EPM428h8vShlRW1KT") as lc,
    ):
        result = await lc.contacts.upsert(
            ContactUpsert(
                email="rosan@deos.com",
                first_name="Rosan",
                phone="+1 888-888-8888",
                tags=["Lead"],
                custom_fields=[TextField(key="nickname", field_value="Ros")],
            )
        )
        print("created:", result.new, result.contact.email, result.contact.phone, result.contact.tags)

        result = await lc.contacts.upsert({"email": "rosan@deos.com", "lastName": "Deo"})
        print("created:", result.new, "name:", result.contact.name)

        try:
            await lc.contacts.create(ContactUpsert(email="rosan@deos.com"))
        except DuplicateContactError as error:
            print(
                "refused:",
                error.matching_field,
                "is taken by the contact above:",
                error.contact_id == result.contact.id,
            )


asyncio.run(main())
