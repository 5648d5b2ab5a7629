"""Parquet, and queries of a DuckDB file: DuckDB reads them, and makes text of what they hold."""

from __future__ import annotations

import glob
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError
from ...private_file import put_in_place
from ...protocol.text import count_of
from .extras import load_library
from .file import File
from .table import Record, Table

_ROWS: Final = 1_000
_SETTINGS: Final = {
    # Nothing is fetched from the network, whatever a file or a query asks for.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",  # rows come in their order, and few of them wait in memory
    "memory_limit": "1GB",
}
_NESTED: Final = re.compile(r"(STRUCT|MAP|UNION)\b|.*\]$", re.DOTALL)


class ParquetTable(Table):
    """A Parquet file.

    Args:
        file: The file.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, file: File) -> None:
        load_library("duckdb", f"{file.name}: Parquet")
        self.name = file.name
        self.file = file
        if file.is_packed:
            raise ConfigurationError(f"{self.name}: Parquet is not read from a packed file; unpack it first")
        with closing(DuckRows(self._query(), self.name)) as rows:
            self.columns = rows.columns

    def rows(self) -> Iterator[Record]:
        """Yield all rows."""
        with closing(DuckRows(self._query(), self.name)) as rows:
            for number, cells in enumerate(rows, 1):
                if any(cells):
                    yield Record(number, cells)

    def _query(self) -> str:
        # The whole path, so that no name is taken for an address, and nothing in it for a pattern.
        path = glob.escape(str(self.file.path.resolve())).replace("'", "''")
        return f"SELECT * FROM read_parquet('{path}', hive_partitioning = false, binary_as_string = true)"  # noqa: S608


class DuckRows:
    """The rows of a query as text: numbers as a person writes them, dates in ISO order, lists and structs as JSON.

    Args:
        query: What to select.
        name: How messages call it.
        database: The DuckDB file to ask, only to be read; none where the query names its own.

    Attributes:
        columns: The names of the columns.

    Raises:
        ConfigurationError: The query, the database or what it holds cannot be read; also while rows are read.
    """

    def __init__(self, query: str, name: str, database: str = ":memory:") -> None:
        self._library = load_library("duckdb", f"{name}: DuckDB")
        self._name = name
        # Where memory is short DuckDB puts rows on disk: in a folder for us alone, not in the working directory.
        self._scratch = tempfile.TemporaryDirectory(prefix="leadconnector-")
        settings = {**_SETTINGS, "temp_directory": self._scratch.name}
        try:
            self._connection = self._library.connect(database, read_only=database != ":memory:", config=settings)
        except self._library.Error as error:
            self._scratch.cleanup()
            raise self._unreadable(error) from None
        try:
            if database != ":memory:":
                self._shut_in()
            self._check(query)
            self._connection.execute(f"CREATE TEMP VIEW asked AS {query}")
            described = self._connection.execute("DESCRIBE asked").fetchall()
            self.columns = [str(name) for name, *_ in described]
            texts = ", ".join(_text_of(position, kind) for position, (_, kind, *_) in enumerate(described))
            names = ", ".join(f"c{position}" for position in range(len(described)))
            self._connection.execute(f"SELECT {texts} FROM asked AS t({names})")  # noqa: S608 - no text of the user's
        except (self._library.Error, ConfigurationError) as error:
            self.close()
            raise self._unreadable(error) from None

    def _shut_in(self) -> None:
        """Leave a query nothing but its database: a view in somebody else's file is code, and could read our files."""
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def _check(self, query: str) -> None:
        statements = self._library.extract_statements(query)
        if len(statements) != 1 or statements[0].type != self._library.StatementType.SELECT:
            raise ConfigurationError(f"{self._name}: cannot be read (it must be one SELECT)")

    def __iter__(self) -> Iterator[list[str]]:
        while rows := self._next():
            yield from map(list, rows)

    def _next(self) -> list[tuple[str, ...]]:
        try:
            rows: list[tuple[str, ...]] = self._connection.fetchmany(_ROWS)
        except self._library.Error as error:
            raise self._unreadable(error) from None
        return rows

    def _unreadable(self, error: Exception) -> ConfigurationError:
        if isinstance(error, ConfigurationError):
            return error
        reason = " ".join(str(error).split("\n\n")[0].split())
        return ConfigurationError(f"{self._name}: cannot be read ({reason})")

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._scratch.cleanup()


def _text_of(position: int, kind: str) -> str:
    """Return the expression that makes text of a column as a person sees it."""
    column = f"c{position}"
    text = f"CAST({column} AS VARCHAR)"
    if kind in ("FLOAT", "DOUBLE"):
        is_whole = f"{column} = trunc({column}) AND abs({column}) < 1e15"
        whole = f"WHEN {is_whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR)"
        text = f"CASE WHEN isnan({column}) THEN '' {whole} ELSE {text} END"
    elif kind.startswith("TIMESTAMP") and "ZONE" not in kind:
        # A date alone is kept as midnight by what knows no dates.
        is_date = f"isfinite({column}) AND {column} = date_trunc('day', {column})"
        text = f"CASE WHEN {is_date} THEN CAST(CAST({column} AS DATE) AS VARCHAR) ELSE replace({text}, ' ', 'T') END"
    elif kind == "BLOB":
        text = f"coalesce(try(decode({column})), {text})"
    elif _NESTED.match(kind):
        text = f"CAST(to_json({column}) AS VARCHAR)"
    return f"coalesce({text}, '')"


# ---------------------------------------------------------------------------------------------- to Parquet

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
        put_in_place(whole, path)


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
        raise OSError(None, f"the Parquet file could not be made: of {count_of(rows, 'row')} it took {written}")
