"""From a table of text to a Parquet file, through DuckDB (extra `files`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError

_LONGEST_LINE: Final = 64 * 1024 * 1024


def check_duckdb() -> None:
    """Refuse what could not be converted in the end.

    Raises:
        ConfigurationError: DuckDB is not installed.
    """
    try:
        import duckdb  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigurationError(
            "Parquet needs another package: pip install 'leadconnector-async[files]', or export to .csv"
        ) from None


def convert_to_parquet(source: Path, path: Path, rows: int) -> None:
    """Write the same table, all of it text, with empty cells as nulls; it takes its place when it is whole.

    Args:
        source: A CSV file with a header.
        path: Where to write.
        rows: How many rows there are.

    Raises:
        OSError: It could not be written whole.
    """
    # In a folder of its own: DuckDB makes files that others can read, and more of them where memory is short.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        whole = Path(folder) / path.name
        _write_parquet(source, whole, rows, folder)
        whole.chmod(0o600)
        whole.replace(path)


def _write_parquet(source: Path, whole: Path, rows: int, folder: str) -> None:
    import duckdb

    try:
        with duckdb.connect(config={"temp_directory": folder}) as db:
            table = db.read_csv(
                str(source),
                header=True,
                all_varchar=True,
                delimiter=",",
                quotechar='"',
                escapechar='"',
                max_line_size=_LONGEST_LINE,
            )
            table.write_parquet(str(whole))
            ((written,),) = db.read_parquet(str(whole)).aggregate("count(*)").fetchall()
    except duckdb.Error as error:
        raise OSError(None, f"the Parquet file could not be made: {error}") from None
    if written != rows:
        raise OSError(None, f"the Parquet file could not be made: of {rows} rows it took {written}")
