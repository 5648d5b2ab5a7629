"""The workers of a Dask cluster: who is there, what they can see, and a call to one of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError, LeadConnectorError, OutageError
from ..version import __version__
from .extras import load_library
from .store import Store
from .target import ClientOptions

_CONNECT_SECONDS: Final = 20
_ANSWER_SECONDS: Final = 30
_PROBE: Final = "probe"
_NOT_SPLIT: Final = "the cluster could not bring the rows together"
_PRELOAD: Final = f"{__package__}.own_worker"
_DASHBOARD: Final = "127.0.0.1:0"  # Dask serves one in any case


@asynccontextmanager
async def open_cluster(scheduler: str | None, workers: int | None) -> AsyncIterator[Cluster]:
    """Connect to a scheduler, or start a cluster on this machine that ends with it.

    Args:
        scheduler: Its address; None for a cluster of its own.
        workers: Processes of that cluster; None for one a core.

    Raises:
        ConfigurationError: Nobody answers there, or there is no worker.
    """
    distributed = load_library("distributed")
    async with AsyncExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            count = workers or os.cpu_count() or 1
            address = await stack.enter_async_context(
                distributed.LocalCluster(
                    preload=[_PRELOAD],
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address=_DASHBOARD,
                    asynchronous=True,
                )
            )
        else:
            await _find_scheduler(distributed, scheduler)
        yield Cluster(await stack.enter_async_context(distributed.Client(address, asynchronous=True)))


async def _find_scheduler(distributed: Any, address: str) -> None:
    """See whether somebody listens there; a Dask client that finds nobody leaves things behind."""
    try:
        comm = await distributed.comm.connect(address, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); give the address that it printed when "
            "it began, such as tcp://10.0.0.5:8786"
        ) from None
    await comm.close()


class Cluster:
    """The workers that a Dask client reaches.

    Args:
        client: The Dask client, of the running loop.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    async def workers(self) -> list[str]:
        """Return the addresses of those who are there.

        Raises:
            OutageError: The scheduler does not answer.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return sorted(await self._client.nthreads())
        except Exception as error:  # Dask's own, and those of its connections
            raise OutageError(f"the Dask scheduler does not answer any more ({type(error).__name__})") from error

    async def call(self, worker: str, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """Call a function in the event loop of a worker.

        Returns:
            What it returns; None where the worker did not answer in time, or is gone.
        """
        work = self._client.run(function, *arguments, workers=[worker], on_error="return")
        try:
            async with asyncio.timeout(seconds):
                answers = await work
        except (TimeoutError, OSError, ValueError):
            return None
        answer = answers.get(worker)
        return None if isinstance(answer, BaseException) else answer

    async def ask_all(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function on all workers; where it raised, the answer is what it raised."""
        answers: dict[str, Any] = await self._client.run(function, *arguments, on_error="return")
        return answers

    def submit(self, function: Callable[..., Any], *arguments: Any, worker: str | None = None, key: str) -> Any:
        """Have a worker carry out a task; returns Dask's future."""
        where = {} if worker is None else {"workers": [worker], "allow_other_workers": False}
        return self._client.submit(function, *arguments, pure=False, key=key, **where)

    def compute_with(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have some worker call a function with values that are delayed; returns Dask's future."""
        return self._client.compute(load_library("dask").delayed(function, pure=False)(*arguments))

    async def finish_all(self, begin: Iterator[Callable[[], Any]], *, most: int) -> AsyncGenerator[Any, None]:
        """Yield the results of tasks as they finish; no more than `most` of them are known to the scheduler at once.

        Args:
            begin: Each begins a task and returns Dask's future.
            most: How many.
        """
        waiting: set[asyncio.Task[Any]] = set()
        try:
            while True:
                for begin_one in itertools.islice(begin, most - len(waiting)):
                    waiting.add(asyncio.create_task(_result(begin_one())))
                if not waiting:
                    return
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in waiting:
                task.cancel()  # with its future, which nobody knows then, Dask forgets the task

    async def check(self, options: ClientOptions, store: Store, files: Iterable[str]) -> None:
        """See to it that each worker can do its part, before anything is sent.

        Raises:
            ConfigurationError: One cannot: the sentence says which and why.
        """
        await self._wait_for_a_worker()
        await self._check_versions()
        mark = secrets.token_bytes(8)  # so that a folder of the same name on a disk of its own is told apart
        await asyncio.to_thread(store.write, _PROBE, mark)
        problems = await self.ask_all(find_problem, options, store.url, mark, list(files))
        for worker, problem in sorted(problems.items()):
            if isinstance(problem, BaseException):
                raise ConfigurationError(f"worker {worker}: {_sentence_of(problem)}")
            if problem is not None:
                raise ConfigurationError(f"worker {worker}: {problem}")

    async def _wait_for_a_worker(self) -> None:
        for _ in range(_CONNECT_SECONDS):
            if await self.workers():
                return
            await asyncio.sleep(1.0)
        raise ConfigurationError("the cluster has no workers; start some, as with: dask worker ADDRESS")

    async def _check_versions(self) -> None:
        for worker, version in sorted((await self.ask_all(tell_version)).items()):
            if isinstance(version, BaseException):
                raise ConfigurationError(f"worker {worker}: {_sentence_of(version)}")
            if version != __version__:
                raise ConfigurationError(
                    f"worker {worker}: has leadconnector-async {version}, and {__version__} runs here; "
                    "install the same version everywhere"
                )


async def _result(future: Any) -> Any:
    try:
        return await future
    except asyncio.CancelledError:
        if future.status not in ("cancelled", "lost"):
            raise
        raise OutageError(f"{_NOT_SPLIT} (Dask lost the task)") from None
    except Exception as error:  # of Dask, the machine or the user's dataframe
        raise OutageError(f"{_NOT_SPLIT} ({type(error).__name__}: {error})") from None


def _sentence_of(problem: BaseException) -> str:
    if isinstance(problem, ImportError | AttributeError):
        return (
            "cannot import what runs here: install leadconnector-async[dask] there, in the same version "
            f"({__version__}) ({problem})"
        )
    return str(problem) if isinstance(problem, LeadConnectorError) else f"{type(problem).__name__}: {problem}"


def tell_version() -> str:
    """Return the version of this package; runs on a worker."""
    return __version__


def find_problem(options: ClientOptions, store_url: str, mark: bytes, files: list[str]) -> str | None:
    """Return why this worker cannot do its part, or None; runs on a worker. What a token is, is not told."""
    try:
        options.find_token()
        for name in ("pyarrow", "fsspec"):
            load_library(name)
        probe = Store(store_url).read(_PROBE)
    except LeadConnectorError as error:
        return str(error)
    if probe != mark:
        return f"cannot see the folder for the results, {store_url}; name one that all machines share, with --out"
    missing = next((file for file in files if "://" not in file and not Path(file).is_file()), None)
    return None if missing is None else f"cannot see {missing}; put it where all machines see it, or on each of them"
