"""The rows of a query: asked for once, and kept in a file, as nobody can ask again for the very same rows."""

from __future__ import annotations

import csv
import hashlib
import re
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from msgspec import Struct

from ...errors import ConfigurationError
from ...private_file import open_anew
from .duck import DuckRows
from .extras import load_library
from .file import File
from .table import cell_of

_NAME: Final = "the query"
_ROWS: Final = 1_000
_FILES: Final = ("sqlite", "duckdb")
_POSTGRES: Final = ("postgresql", "postgres")
_HIDDEN: Final = "***"
Rows: TypeAlias = Generator[Iterable[str], None, None]


class Query(Struct, frozen=True):
    """What to ask of which database.

    Attributes:
        sql: One SELECT.
        database: `sqlite:///FILE`, `duckdb:///FILE`, the path of either file, `postgresql://HOST/DATABASE`, or what
            libpq takes in its place, such as `host=HOST dbname=DATABASE`. It may hold a password, which is told to
            nobody else.
    """

    sql: str
    database: str

    def __repr__(self) -> str:
        return f"Query({self.sql!r}, {hide_password(self.database)!r})"

    def describe(self) -> str:
        """Return what it is known by."""
        return hashlib.sha256(f"{hide_password(self.database)}\n{self.sql}".encode()).hexdigest()

    def keep_rows(self, path: Path) -> None:
        """Ask for the rows, and write them as CSV into a new file that nobody else can read.

        Raises:
            ConfigurationError: The database cannot be asked, or gives no rows, or the file cannot be written.
        """
        try:
            with (
                closing(self._rows()) as rows,
                open_anew(path, encoding="utf-8", errors="surrogateescape", newline="") as file,
            ):
                csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
                    rows
                )  # so that no header looks like another delimiter
        except OSError as error:
            raise ConfigurationError(f"{_NAME}: its rows cannot be kept ({error.strerror or error})") from None

    def _rows(self) -> Rows:
        """Yield the names of the columns, then all rows."""
        scheme, mark, rest = self.database.partition("://")
        if scheme in _POSTGRES or _is_dsn(self.database):
            return _postgres_rows(self.database, self.sql)
        if mark and scheme not in _FILES:
            what = f"{scheme}:// is no database that can be asked"
            raise ConfigurationError(f"{what}; give sqlite:///FILE, postgresql://HOST/DATABASE or a DuckDB file")
        # As SQLAlchemy has it, three slashes come before a path, and four where that begins with one.
        path = Path(rest.removeprefix("/") if mark else self.database)
        return _file_rows(File(path, name=hide_password(f"database {path}", self.database)), self.sql)


def has_password(database: str) -> bool:
    """Whether an address holds a password."""
    return bool(_passwords(database))


def hide_password(text: str, database: str | None = None) -> str:
    """Return an address, or a text that may repeat one, without its password."""
    for password in _passwords(text if database is None else database):
        text = text.replace(password, _HIDDEN)
    return text


# What libpq takes in place of an address: `host=db password='a b'`; the same names stand in the options of an address.
_DSN: Final = re.compile(r"\s*[a-z_]{1,40}\s*=", re.I)
_PASSWORD: Final = re.compile(r"\w{0,20}password\w{0,20}\s*=\s*(?:'((?:[^'\\]|\\.)*+)'?|([^\s&']*+))", re.I | re.S)


def _is_dsn(database: str) -> bool:
    return "://" not in database and _DSN.match(database) is not None and not Path(database).exists()


def _passwords(database: str) -> list[str]:
    """Return the password of an address in the spellings that a message may have, the longest first."""
    scheme, mark, rest = database.partition("://")
    if mark and scheme in _FILES and rest.startswith("/"):
        return []
    if not mark:  # an address with a slash missing is none, and its password is one all the same
        rest = database.partition(":")[2].lstrip("/") if database.lower().lstrip().startswith(_POSTGRES) else ""
    # Not as a library splits it: a password may hold what an address must not.
    place = rest.partition("?")[0]
    found = [place.rsplit("@", 1)[0].partition(":")[2]] if "@" in place else []
    if mark or _is_dsn(database):
        found += [match[1] or match[2] for match in _PASSWORD.finditer(database)]
    spellings = {spelling for word in found if word for spelling in (word, unquote(word), _ESCAPED.sub(r"\1", word))}
    return sorted(spellings, key=len, reverse=True)


_ESCAPED: Final = re.compile(r"\\(.)", re.S)


def _file_rows(file: File, sql: str) -> Rows:
    start = file.start(16)
    if start.startswith(b"SQLite format 3"):
        return _sqlite_rows(file, sql)
    if start[8:12] == b"DUCK":
        return _duckdb_rows(file, sql)
    raise ConfigurationError(f"{file.name}: is neither an SQLite nor a DuckDB file")


def _duckdb_rows(file: File, sql: str) -> Rows:
    with closing(DuckRows(sql, _NAME, str(file.path))) as rows:
        yield rows.columns
        yield from rows


def _sqlite_rows(file: File, sql: str) -> Rows:
    try:
        with closing(sqlite3.connect(f"{file.path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda data: data.decode(errors="surrogateescape")
            connection.set_authorizer(_authorize)
            cursor = connection.execute(sql)
            yield from _texts(cursor, cursor)
    except (sqlite3.Error, sqlite3.Warning) as error:
        hint = "; it may only read this database: write one SELECT" if "authoriz" in str(error) else ""
        raise ConfigurationError(f"{_NAME}: cannot be answered ({error}{hint})") from None


# `mode=ro` guards the database itself, and not those that a query attaches, or makes: VACUUM INTO attaches one, too.
_REFUSED: Final = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
_READING_PRAGMAS: Final = ("table_info", "table_xinfo", "table_list", "index_list", "index_info", "data_version")


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Say whether a query may do something: of pragmas the first text is the name, of functions the second."""
    is_refused = action in _REFUSED or second == "load_extension"
    is_setting = action == sqlite3.SQLITE_PRAGMA and str(first).lower() not in _READING_PRAGMAS
    return sqlite3.SQLITE_DENY if is_refused or is_setting else sqlite3.SQLITE_OK


def _postgres_rows(address: str, sql: str) -> Rows:
    library = load_library("psycopg", "reading from PostgreSQL")
    reason = None
    try:
        with library.connect(address) as connection:
            connection.read_only = True
            # A cursor with a name stays on the server, and gives some rows at a time.
            with connection.cursor(name="rows") as cursor:
                cursor.itersize = _ROWS
                cursor.execute(sql)
                yield from _texts(cursor, cursor)
    except library.Error as error:
        reason = " ".join(hide_password(str(error), address).split())
    if reason is not None:  # raised here, so that it does not carry an error of the library, which may tell the address
        raise ConfigurationError(f"{_NAME}: cannot be answered ({reason})")


def _texts(cursor: Any, rows: Iterable[Iterable[Any]]) -> Rows:
    if cursor.description is None:
        raise ConfigurationError(f"{_NAME}: gives no rows; write a SELECT")
    yield [column[0] for column in cursor.description]
    for row in rows:
        yield map(cell_of, row)
