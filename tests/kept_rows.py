"""The rows of files as a run keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from leadconnector_async.migration.mapping.rows import RowFile
from leadconnector_async.run.database import Database
from leadconnector_async.run.rows import Rows, RunFile


def keep(files: Sequence[RowFile], database: Database) -> list[RunFile]:
    """Keep the rows of files in the database of a run, as its preparation does; those that it has already stay."""
    rows = Rows(database)
    if kept := rows.files():
        return kept
    for number, file in enumerate(files):
        count = 0
        for row in file.rows():
            rows.add(number, file.keep(row))
            count += 1
        rows.end_file(number, file.about(count))
    return rows.files()
