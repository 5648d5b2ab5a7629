"""A token is nowhere on the cluster but in its workers: not in tasks, states, logs, or the folder of a run."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.cluster import ClientOptions, Progress
from leadconnector_async.cluster.splitting import find_parts
from leadconnector_async.cluster.store import Store
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.private_file import write_private
from tests.cluster.conftest import Server, load, write_people

SECRET = "pit-7a41-very-secret"


def _everything(dask_scheduler: Any) -> str:
    """All that the scheduler keeps, also of tasks that are gone."""
    tasks = [(task, task.run_spec, task.annotations, task.metadata) for task in dask_scheduler.tasks.values()]
    return repr([tasks, dask_scheduler.transition_log, dask_scheduler.get_logs()])


class Spy:
    """Looks at the cluster while it is at work."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.texts: list[str] = []

    def __call__(self, progress: Progress) -> None:
        with self._cluster.get_client() as client:
            self.texts.append(client.run_on_scheduler(_everything))
            self.texts.append(repr([client.get_worker_logs(), client.get_scheduler_logs(), client.get_events()]))


@pytest.mark.parametrize("is_refused", [False, True])
async def test_no_token_is_seen_on_the_cluster(
    cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], is_refused: bool
) -> None:
    write_private(tmp_path / "token", SECRET)
    people = tmp_path / "people.csv"
    write_people(people, locations=3, rows=150)
    server, spy = Server(token="other" if is_refused else SECRET), Spy(cluster)
    try:
        options = server.options(token_source=f"file:{tmp_path}/token")
        report = await load(server, people, tmp_path / "out", cluster, client_options=options, on_progress=spy)
    finally:
        server.stop()
    assert (report.created > 0) is not is_refused
    spy(Progress(rows=0, total_rows=0, locations=0, total_locations=0, workers=0, tally=report.tally(), seconds=0.0))
    texts = [*spy.texts, "".join(capfd.readouterr()), repr(options), repr(report.stopped), report.to_json()]
    texts += [path.read_bytes().decode(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any("leadconnector" in text for text in texts)
    assert [text[:200] for text in texts if SECRET in text] == []


async def test_the_folder_of_a_run_is_its_owners_alone(server: Server, tmp_path: Path, cluster: Any) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=2, rows=5)
    await load(server, people, tmp_path / "a" / "out", cluster)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert {path for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == set()
    assert any(path.suffix == ".parquet" for path in modes)


def test_a_token_cannot_be_given_where_it_would_travel() -> None:
    with pytest.raises(ConfigurationError, match="says where the token is, and is not the token itself") as caught:
        ClientOptions(token_source=SECRET)
    assert SECRET not in str(caught.value)


def test_a_password_is_no_part_of_the_folders_address() -> None:
    with pytest.raises(ConfigurationError, match="holds a password") as caught:
        Store(f"sftp://me:{SECRET}@example.com/run")
    assert SECRET not in str(caught.value)


def test_a_password_is_no_part_of_a_files_address() -> None:
    with pytest.raises(ConfigurationError, match="holds a password") as caught:
        find_parts(f"sftp://me:{SECRET}@example.com/people.csv")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("env", "set LEADCONNECTOR_TOKEN in the environment of each worker"),
        ("file:/nowhere/token", "the token cannot be read"),
        ("leadconnector_async:nothing", "there is no such module or name"),
        ("leadconnector_async.distributed:upsert_partitions", "raised TypeError"),
        ("leadconnector_async:errors", "is neither a token nor a token source"),
    ],
)
def test_a_token_that_is_not_there(source: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADCONNECTOR_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match=sentence):
        ClientOptions(token_source=source).find_token()
