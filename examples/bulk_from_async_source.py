"""A bulk load from a source that is read as it goes (here a made-up feed of sign-ups), on a sandbox in this process.

python examples/bulk_from_async_source.py
"""

import asyncio
from collections.abc import AsyncIterator

from leadconnector_async import ContactUpsert, LeadConnector
from leadconnector_async.sandbox import Sandbox


async def sign_ups() -> AsyncIterator[ContactUpsert]:
    """Stand for a database cursor, a message queue, another API."""
    for number in range(90):
        await asyncio.sleep(0.002)
        yield ContactUpsert(email=f"person{number % 80}@example.com", first_name=f"Person {number}")


async def main() -> None:
    async with (
        Sandbox() as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="ve9EPM428h8vShlRW1KT") as lc,
    ):
        report = await lc.contacts.bulk_upsert(sign_ups())
        print(report)
        report.raise_for_failures()

        # The same without an end: outcomes as they come, in constant memory.
        async for outcome in lc.contacts.stream_upserts([ContactUpsert(email="last@example.com")]):
            print(outcome.index, outcome.status, "attempts:", outcome.attempts)


asyncio.run(main())
