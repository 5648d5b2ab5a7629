"""Load the contacts of many locations with a Dask cluster: here two processes of this machine, and a sandbox.

On a cluster of your own give `scheduler="tcp://10.0.0.5:8786"`, leave `token_source` and `base_url` out, set
LEADCONNECTOR_TOKEN in the environment of each worker, and name a folder for `out` that all workers see.
"""

import asyncio
import csv
import tempfile
from pathlib import Path

from leadconnector_async.cluster import ClientOptions, Progress, upsert_partitions
from leadconnector_async.sandbox import Sandbox

LOCATIONS = 40


def write_export(path: Path) -> None:
    """Write what an agency might export: rows of all its locations in one file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Location ID", "Email", "First Name"])
        for number in range(LOCATIONS * 50):
            writer.writerow([f"location{number % LOCATIONS}", f"person{number}@example.com", "Rosan"])


def show(progress: Progress) -> None:
    print(
        f"{progress.rows} of {progress.total_rows} rows, {progress.locations} of {progress.total_locations} locations"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_export(Path(folder) / "export.csv")
        async with Sandbox() as sandbox:
            options = ClientOptions(token_source="sandbox", base_url=sandbox.url)
            report = await upsert_partitions(
                options, f"{folder}/*.csv", out=f"{folder}/run", workers=2, on_progress=show
            )
            print(report, "without a 429" if not sandbox.rate_limited else "too fast")
        report.raise_for_failures()  # run/results has a Parquet file for each location, with a line for each row


if __name__ == "__main__":  # the workers are started from this file, too
    asyncio.run(main())
