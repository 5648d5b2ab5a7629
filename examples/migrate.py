"""Plan, load, verify and undo a migration from Python, on a sandbox in this process.

python examples/migrate.py
"""

import asyncio
import tempfile
from pathlib import Path

from leadconnector_async import LeadConnector
from leadconnector_async.migration import Migration, MigrationOptions
from leadconnector_async.sandbox import Sandbox

EXPORT = """Email,First Name,Phone Number,Tags,Unsubscribed
ann@example.com,Ann,(617) 555-0101,customer;newsletter,no
ben@example.com,Ben,(617) 555-0101,customer,yes
not-an-address,Cora,,lead,
"""


async def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        export, folder = Path(place, "export.csv"), Path(place, "run")
        export.write_text(EXPORT)
        async with (
            Sandbox() as sandbox,
            LeadConnector("sandbox", base_url=sandbox.url, location_id="ve9EPM428h8vShlRW1KT") as lc,
        ):
            # Rows are read, mapped and checked, once; nothing is sent.
            options = MigrationOptions(default_country="US")
            async with await Migration.prepare(lc, [export], folder=folder, options=options) as run:
                plan = run.plan
                print(f"{plan.to_send} of {plan.rows} rows, at most {plan.calls} calls")
                for problem in plan.problems:
                    print(f"{problem.where}: {problem.column} {problem.sentence}")

            # Later, or in another process: exactly that is loaded. The file may be gone.
            export.unlink()
            async with await Migration.open(lc, folder) as run:
                report = await run.upsert()
                print(f"{report.created} created, {report.updated} updated, {report.failed} failed")
                proof = await run.verify()
                print(f"{proof.differing} of {proof.compared} rows differ from what was sent")
                undone = await run.undo()
                print(f"{undone.deleted} deleted, {undone.kept} kept")
            print(f"{len(sandbox.contacts('ve9EPM428h8vShlRW1KT'))} contacts left")


asyncio.run(main())
