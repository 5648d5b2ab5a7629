"""The workers of a Dask cluster: list them, check what they can see, call one of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..auth.source import TokenSource
from ..calls.retry import RetryPolicy
from ..calls.transport import DEFAULT_BASE_URL, Timeouts
from ..client import LeadConnector
from ..environment import API_VERSION, BASE_URL, LOCATION_ID, PROXY, TOKEN, read_variable
from ..errors import ConfigurationError, LeadConnectorError, OutageError
from ..limits.limit import Limits, RateLimit
from ..private_file import read_secret
from ..version import __version__
from .store import Store, load_cluster_library

# ---------------------------------------------------------------------------------------------- where a load goes

FROM_ENVIRONMENT: Final = "env"
OF_SANDBOX: Final = "sandbox"
_FILE: Final = "file:"


class ClientOptions(Struct, frozen=True, kw_only=True):
    """How each worker opens its client. Nothing in it is secret.

    Attributes:
        token_source: Where a worker finds the token: `env` (the variable LEADCONNECTOR_TOKEN of its own environment),
            `file:PATH` (a file that it can read), or `module:name`, imported on the worker: a token source, a text, or
            a function without arguments that returns one of these.
        location_id: The location of rows without one of their own.
        base_url: The API's address.
        api_version: `2021-07-28`, `2023-02-21` or `v3`.
        rate_limit: The limits of each location to begin with, or None to send without any.
        retry: When to try again.
        timeouts: How long to wait.
        concurrency: Rows of one location in flight at most.

    Raises:
        ConfigurationError: A value cannot be used.
    """

    token_source: str = FROM_ENVIRONMENT
    location_id: str | None = None
    base_url: str = DEFAULT_BASE_URL
    api_version: str = "2021-07-28"
    rate_limit: RateLimit | None = RateLimit()
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()
    concurrency: int = 64

    def __post_init__(self) -> None:
        # A client checks the rest; this one is never opened.
        self._client("never-sent", concurrency=self.concurrency)
        is_named = ":" in self.token_source and not any(map(str.isspace, self.token_source))
        if self.token_source not in (FROM_ENVIRONMENT, OF_SANDBOX) and not is_named:
            raise ConfigurationError(
                "token_source says where the token is, and is not the token itself: give env, file:PATH or module:name"
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: object) -> ClientOptions:
        """Take location, address and version from the environment of this process, as `LeadConnector.from_env`.

        Args:
            environ: Where to look; the process's environment by default.
            options: Any attribute; it wins over the environment.

        Raises:
            ConfigurationError: A value cannot be used, or a variable that counts is set but empty.
        """
        names = {"location_id": LOCATION_ID, "base_url": BASE_URL, "api_version": API_VERSION}
        found: dict[str, object] = {
            option: value
            for option, name in names.items()
            if option not in options and (value := read_variable(name, environ)) is not None
        }
        return cls(**found, **options)  # type: ignore[arg-type]

    def find_token(self) -> str | TokenSource:
        """Find the token where this runs.

        Raises:
            ConfigurationError: There is none; the sentence says where it was looked for, and nothing of what was found.
        """
        if self.token_source == OF_SANDBOX:
            return "sandbox"
        if self.token_source == FROM_ENVIRONMENT:
            token = read_variable(TOKEN)
            if token is None:
                raise ConfigurationError(f"there is no token: set {TOKEN} in the environment of each worker")
            return token
        if self.token_source.startswith(_FILE):
            return _read_file(Path(self.token_source.removeprefix(_FILE)))
        return _find_by_name(self.token_source)

    def open_client(self, *, limits: Limits | None = None, concurrency: int | None = None) -> LeadConnector:
        """Make a client with the token that is found here.

        Args:
            limits: Where windows are kept.
            concurrency: Calls of all locations in flight at most.

        Raises:
            ConfigurationError: There is no token.
        """
        return self._client(self.find_token(), limits=limits, concurrency=concurrency or self.concurrency)

    def _client(self, token: str | TokenSource, *, concurrency: int, limits: Limits | None = None) -> LeadConnector:
        return LeadConnector(
            token,
            location_id=self.location_id,
            base_url=self.base_url,
            api_version=self.api_version,
            rate_limit=self.rate_limit,
            retry=self.retry,
            timeouts=self.timeouts,
            proxy=read_variable(PROXY),
            concurrency=concurrency,
            limits=limits,
        )


def _read_file(path: Path) -> str:
    try:
        token = read_secret(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{path}: the token cannot be read ({reason})") from None
    if not token:
        raise ConfigurationError(f"{path}: is empty; it should hold a Private Integration Token")
    return token


def _find_by_name(name: str) -> str | TokenSource:
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise ConfigurationError(f"token source {name}: there is no such module or name") from None
    if callable(found) and not hasattr(found, "token"):
        try:
            found = found()
        except Exception as error:  # it is the user's; its words might hold what it found
            raise ConfigurationError(f"token source {name}: raised {type(error).__name__}") from None
    if isinstance(found, str) or (hasattr(found, "token") and hasattr(found, "refresh")):
        return found
    raise ConfigurationError(f"token source {name}: is neither a token nor a token source")


_CONNECT_SECONDS: Final = 20
_ANSWER_SECONDS: Final = 30
_PROBE: Final = "probe"
_NOT_SPLIT: Final = "the cluster could not group the rows by location"
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
    distributed = load_cluster_library("distributed")
    async with AsyncExitStack() as stack:
        address: Any = scheduler
        security: Any = distributed.Security()  # as Dask's own configuration says; it holds certificates for tls://
        if scheduler is None:
            count = workers or os.cpu_count() or 1
            # Whoever reaches a scheduler can have its workers run anything, and each user of this machine reaches it:
            # its certificates are made for this load, and are on no disk.
            security = _temporary_security(distributed)
            address = await stack.enter_async_context(
                distributed.LocalCluster(
                    preload=[_PRELOAD],
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address=_DASHBOARD,
                    asynchronous=True,
                    security=security,
                    # It ends with the command; that its workers lose each other then is no news, least of all with a
                    # traceback after a sentence about wrong use.
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            await _find_scheduler(distributed, scheduler, security)
        client = distributed.Client(address, asynchronous=True, security=security)
        yield Cluster(await stack.enter_async_context(client))


def _temporary_security(distributed: Any) -> Any:
    try:
        return distributed.Security.temporary()
    except ImportError:
        raise ConfigurationError(
            "a cluster of its own needs the package cryptography: pip install 'leadconnector-async[dask]'"
        ) from None


async def _find_scheduler(distributed: Any, address: str, security: Any) -> None:
    """See whether somebody listens there; a Dask client that finds nobody leaves things behind."""
    if address.startswith("tls://") and not (security.tls_ca_file and security.tls_client_cert):
        raise ConfigurationError(
            f"{address}: needs the certificates of the cluster; name their files in Dask's configuration: "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        )
    try:
        arguments = security.get_connection_args("client")
        comm = await distributed.comm.connect(address, timeout=_CONNECT_SECONDS, **arguments)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); give the address that it printed when "
            "it started, such as tcp://10.0.0.5:8786"
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
            raise OutageError(f"the Dask scheduler no longer answers ({type(error).__name__})") from error

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
        return self._client.compute(load_cluster_library("dask").delayed(function, pure=False)(*arguments))

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
        mark = secrets.token_bytes(8)  # a worker's own disk may hold a folder of the same name, without this
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
        raise ConfigurationError("the cluster has no workers; start some, for example: dask worker ADDRESS")

    async def _check_versions(self) -> None:
        for worker, version in sorted((await self.ask_all(find_version)).items()):
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
            "cannot import the package: install leadconnector-async[dask] there, in the same version "
            f"({__version__}) ({problem})"
        )
    return str(problem) if isinstance(problem, LeadConnectorError) else f"{type(problem).__name__}: {problem}"


def find_version() -> str:
    """Return the version of this package; runs on a worker."""
    return __version__


def find_problem(options: ClientOptions, store_url: str, mark: bytes, files: list[str]) -> str | None:
    """Return why this worker cannot do its part, or None; runs on a worker. The token is not returned."""
    try:
        options.find_token()
        for name in ("pyarrow", "fsspec"):
            load_cluster_library(name)
        probe = Store(store_url).read(_PROBE)
    except LeadConnectorError as error:
        return str(error)
    if probe != mark:
        return f"cannot see the folder for the results, {store_url}; name one that all machines share (`out`)"
    missing = next((file for file in files if "://" not in file and not Path(file).is_file()), None)
    return None if missing is None else f"cannot see {missing}; put it where all machines see it, or on each of them"
