"""The documents for machines: what `--json` prints, and the JSON files of a run. Their schemas ship with the package.

`leadconnector_async/schemas/NAME.json` is rendered from these classes by `python -m tests.schemas`. All documents have
`schema`, which changes when a key is removed or changes its meaning; new keys may come at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from ..bulk.report import ErrorCount, Outcome
from ..ingest.store import Status
from ..migration.plan import Closings, Comparison, Plan, PlannedColumn
from ..migration.report.report_page import NextStep
from ..migration.undo import UndoReport
from ..migration.verify import VerifyReport
from ..rules.problems import ProblemCount

Schema = Literal[1]
"""See `bulk.report.SCHEMA`."""


class Report(Struct, kw_only=True):
    """`report.json`: a load as a whole, over all its sessions.

    `total` is the sum of created, updated, failed, skipped, unknown and not_attempted. Times are ISO 8601 in UTC.
    """

    schema: Schema
    version: str
    location: str | None
    host: str | None
    sources: list[str]
    total: int
    created: int
    updated: int
    failed: int
    skipped: int
    unknown: int
    not_attempted: int
    partially_applied: int
    collisions: int
    requests: int
    retries: int
    rate_limited: int
    started_at: str | None
    finished_at: str | None
    duration_seconds: float
    errors: list[ErrorCount]
    requests_in_doubt: int = 0
    inferred: int = 0
    closed_locations: dict[str, str] = {}
    skip_reasons: dict[str, int] = {}
    merged: int = 0
    sessions: int = 1
    closings: Closings | None = None


class Upsert(Report, kw_only=True):
    """`leadconnector upsert --json`: `report.json`, where the results are, and what to do next."""

    not_applied: dict[str, int]
    stopped: str | None
    folder: str
    files: list[str]
    next_steps: list[NextStep]


class ClusterUpsert(Report, kw_only=True):
    """`leadconnector upsert --dask --json`: `report.json`, and where the results are."""

    not_applied: dict[str, int]
    stopped: str | None
    results: str


class DryRun(Struct, kw_only=True):
    """`leadconnector upsert --dry-run --json`."""

    schema: Schema
    rows: int
    to_send: int
    refused: int
    skipped: int
    problems: list[ProblemCount]
    comparison: Comparison | None
    closings: Closings | None = None


class PlanDocument(Plan, frozen=True, kw_only=True):
    """`leadconnector plan --json`: what a load would do."""

    schema: Schema


class MappedFile(Struct, kw_only=True):
    """A file, and where its columns go."""

    name: str
    looks_like: str | None
    columns: list[PlannedColumn]


class Map(Struct, kw_only=True):
    """`leadconnector map --json`."""

    schema: Schema
    files: list[MappedFile]


class VerifyFile(VerifyReport, frozen=True, kw_only=True):
    """`verify.json`."""

    schema: Schema


class Verify(VerifyFile, frozen=True, kw_only=True):
    """`leadconnector verify --json`: `verify.json`, and the folder of the run."""

    folder: str


class UndoFile(UndoReport, frozen=True, kw_only=True):
    """`undo.json`."""

    schema: Schema


class Undo(UndoFile, frozen=True, kw_only=True):
    """`leadconnector undo --json`: `undo.json`, and the folder of the run."""

    folder: str


class Export(Struct, kw_only=True):
    """`leadconnector export --json`."""

    schema: Schema
    file: str
    contacts: int
    undefined_values: int
    unreadable_values: int
    read_by_id: int
    not_returned: list[str]
    do_not_disturb: str
    stopped: str | None


class Account(Struct, kw_only=True):
    """An account that is logged in, or a token. Times are ISO 8601 in UTC."""

    type: Literal["location", "agency", "token"]
    id: str | None
    agency: str | None = None
    base_url: str = ""
    host: str = ""
    scopes: list[str] = []
    access_token_until: str = ""
    remark: str = ""
    calls_left_today: int | None = None
    locations: list[dict[str, str]] | None = None
    error: str | None = None


class WhoAmI(Struct, kw_only=True):
    """`leadconnector whoami --json`."""

    schema: Schema
    accounts: list[Account]


class LogIn(Struct, kw_only=True):
    """`leadconnector login --json`."""

    schema: Schema
    account: Account
    store: str


class Forgotten(Struct, kw_only=True):
    """An account that was forgotten, and until when its access token stays valid, where that is known."""

    id: str
    access_token_until: str | None


class LogOut(Struct, kw_only=True):
    """`leadconnector logout --json`."""

    schema: Schema
    forgotten: list[Forgotten]


class SandboxDocument(Struct, kw_only=True):
    """`leadconnector sandbox --json`, printed when it is ready."""

    schema: Schema
    url: str
    token: str
    client_id: str
    client_secret: str


class Ingest(Struct, kw_only=True):
    """`leadconnector ingest --http --json`, printed when it listens: where contacts are to be sent."""

    schema: Schema
    url: str


class IngestLines(Struct, kw_only=True):
    """`leadconnector ingest --stdin --json`: how many contacts were stored, refused, and still wait."""

    schema: Schema
    stored: int
    refused: int
    waiting: int


class OutboxStatus(Status, kw_only=True, frozen=True):
    """`leadconnector outbox status --json`."""

    schema: Schema


class OutboxDeadLetter(Struct, kw_only=True):
    """A contact that was given up. Times are ISO 8601 in UTC."""

    id: int
    key: str | None
    location_id: str
    put_at: str
    at: str
    outcome: Outcome
    contact: dict[str, Any] | None


class OutboxList(Struct, kw_only=True):
    """`leadconnector outbox list --json`."""

    schema: Schema
    dead_letters: list[OutboxDeadLetter]


class OutboxCount(Struct, kw_only=True):
    """`leadconnector outbox retry|drop|forget --json`: how many contacts that were."""

    schema: Schema
    count: int


DOCUMENTS: Final[Mapping[str, type[Struct]]] = {
    "report": Report,
    "upsert": Upsert,
    "upsert-dask": ClusterUpsert,
    "upsert-dry-run": DryRun,
    "plan": PlanDocument,
    "map": Map,
    "verify-file": VerifyFile,
    "verify": Verify,
    "undo-file": UndoFile,
    "undo": Undo,
    "export": Export,
    "whoami": WhoAmI,
    "login": LogIn,
    "logout": LogOut,
    "sandbox": SandboxDocument,
    "ingest": Ingest,
    "ingest-stdin": IngestLines,
    "outbox": OutboxStatus,
    "outbox-list": OutboxList,
    "outbox-count": OutboxCount,
}
"""Every document by the name of its schema."""
