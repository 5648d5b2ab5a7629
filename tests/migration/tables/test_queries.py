"""A database that is read is somebody else's: a query of it reads it, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async.migration.tables.queries import Query, has_password, hide_password


def ask(sql: str, database: Path) -> str:
    rows = database.with_name("rows.csv")
    Query(sql, str(database)).keep_rows(rows)
    return rows.read_text()


@pytest.fixture
def duck(tmp_path: Path) -> Path:
    """A DuckDB file with views that reach for what is beside it."""
    path, secret = tmp_path / "evil.duckdb", tmp_path / "secret.csv"
    secret.write_text("email\nsecret@example.com\n")
    duckdb.connect().execute(f"COPY (SELECT 1 AS a) TO '{tmp_path}/secret.parquet'")
    with closing(duckdb.connect(str(tmp_path / "other.duckdb"))) as other:
        other.execute("CREATE TABLE secret AS SELECT 1 AS a")
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE TABLE people AS SELECT 'a@example.com' AS email")
        for number, source in enumerate(
            [f"read_csv('{secret}')", f"read_text('{secret}')", f"read_blob('{secret}')", f"glob('{tmp_path}/*')"]
        ):
            connection.execute(f"CREATE VIEW evil{number} AS SELECT * FROM {source}")
    return path


@pytest.mark.parametrize(
    "sql",
    [
        *(f"SELECT * FROM evil{number}" for number in range(4)),
        "SELECT * FROM read_csv('{folder}/secret.csv')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM '{folder}/secret.parquet'",
        "SELECT * FROM read_parquet('https://example.com/a.parquet')",
        "SELECT * FROM (SELECT * FROM evil0)",
        "ATTACH '{folder}/other.duckdb' AS other",
        "COPY people TO '{folder}/new.csv'",
        "SET enable_external_access = true",
    ],
)
def test_a_duckdb_file_reaches_no_other_file(duck: Path, sql: str) -> None:
    before = sorted(duck.parent.iterdir())
    with pytest.raises(ConfigurationError):
        ask(sql.format(folder=duck.parent), duck)
    assert sorted(path for path in duck.parent.iterdir() if path.name != "rows.csv") == before


def test_a_duckdb_file_is_read(duck: Path) -> None:
    assert ask("SELECT * FROM people", duck) == '"email"\n"a@example.com"\n'


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "CREATE TABLE people (email); INSERT INTO people VALUES ('a@example.com');"
            "CREATE VIRTUAL TABLE found USING fts5(email); INSERT INTO found VALUES ('a@example.com')"
        )
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{folder}/other.sqlite' AS other",
        "VACUUM INTO '{folder}/other.sqlite'",
        "INSERT INTO people VALUES ('b@example.com') RETURNING email",
        "DELETE FROM people RETURNING email",
        "UPDATE people SET email = '' RETURNING email",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('{folder}/a.so')",
        "DROP TABLE people",
    ],
)
def test_an_sqlite_file_is_only_read(lite: Path, sql: str) -> None:
    before = lite.read_bytes()
    with pytest.raises(ConfigurationError):
        ask(sql.format(folder=lite.parent), lite)
    assert lite.read_bytes() == before
    assert {path.name for path in lite.parent.iterdir()} <= {"a.sqlite", "rows.csv"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT email FROM people",
        "WITH a AS (SELECT email FROM people) SELECT * FROM a",
        "SELECT email FROM found WHERE found MATCH 'example'",
        "SELECT lower(name) FROM pragma_table_info('people')",
        "SELECT max(email) OVER () FROM people",
    ],
)
def test_whatever_only_reads_is_answered(lite: Path, sql: str) -> None:
    assert ask(sql, lite).count("\n") == 2


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=a&password={SECRET}",
        f"postgresql://127.0.0.1:1/db?sslpassword={SECRET}",
        f"postgres:/user:{SECRET}@127.0.0.1:1/db",
        f"postgresql:user:{SECRET}@127.0.0.1:1/db",
        f"POSTGRESQL:/user:{SECRET}@127.0.0.1:1/db",
        f"mysql://user:{SECRET}@127.0.0.1:1/db",
        f"sqlite://user:{SECRET}@host/a.db",
        f"host=127.0.0.1 port=1 user=a password={SECRET}",
        f"host=127.0.0.1 port=1 PASSWORD = '{SECRET}' dbname=x",
        f"host=127.0.0.1 port=1 password='it\\'s {SECRET}'",
        f"password='{SECRET}",
        f" password={SECRET} nonsense",
    ],
)
def test_no_message_repeats_a_password_in_whatever_form(address: str, tmp_path: Path) -> None:
    query = Query("SELECT 1", address)
    assert has_password(address)
    with pytest.raises(ConfigurationError) as caught:
        query.keep_rows(tmp_path / "rows.csv")
    error = caught.value
    said = [str(error), repr(error), repr(error.__cause__), repr(error.__context__), repr(query)]
    assert [text for text in [*said, hide_password(address)] if SECRET in text] == []


@pytest.mark.parametrize(
    "address", ["sqlite:///a=b@c:d.db", "a.sqlite", "C:\\a@b.db", "postgresql://host/db", "host=a dbname=b"]
)
def test_an_address_without_one_stays_as_it_is(address: str) -> None:
    assert not has_password(address)
    assert hide_password(address) == address
