"""Nobody but us reaches the workers of a cluster of our own, and those of others are reached with certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")
import dask  # noqa: E402

from leadconnector_async import ConfigurationError  # noqa: E402
from leadconnector_async.cluster.workers import open_cluster  # noqa: E402


async def test_a_cluster_of_our_own_lets_nobody_in(tmp_path: Path) -> None:
    async with open_cluster(None, 1) as cluster:
        address = cluster._client.scheduler.address
        assert address.startswith("tls://")
        for stranger in (distributed.Security(), distributed.Security.temporary()):
            arguments = stranger.get_connection_args("client")
            for scheme in ("tcp", "tls"):
                with pytest.raises((OSError, TypeError, RuntimeError, ssl.SSLError)):
                    await greet(address.replace("tls", scheme), arguments)
        assert await cluster._client.submit(sum, [1, 2]) == 3


async def greet(address: str, arguments: dict[str, Any]) -> None:
    comm = await distributed.comm.connect(address, timeout=1, **arguments)
    await comm.read()


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Any]:
    """Dask's configuration with certificates in files, as somebody who runs a cluster has it."""
    made = distributed.Security.temporary()
    texts = {"ca-file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    paths = {name: str(tmp_path / name) for name in texts}
    places = [(role, part) for role in ("scheduler", "worker", "client") for part in ("cert", "key")]
    roles = {f"distributed.comm.tls.{role}.{part}": paths[part] for role, part in places}
    return {"distributed.comm.tls.ca-file": paths["ca-file"], **roles}


async def test_a_cluster_with_certificates_is_reached(certificates: dict[str, Any]) -> None:
    options = {"n_workers": 1, "processes": False, "protocol": "tls://", "dashboard_address": None}
    with dask.config.set(certificates):
        async with (
            distributed.LocalCluster(**options, security=distributed.Security(), asynchronous=True) as theirs,
            open_cluster(theirs.scheduler_address, None) as cluster,
        ):
            assert theirs.scheduler_address.startswith("tls://")
            assert await cluster._client.submit(sum, [1, 2]) == 3


async def test_without_certificates_it_says_which_are_wanted() -> None:
    with pytest.raises(ConfigurationError, match="TLS__CA_FILE"):
        async with open_cluster("tls://127.0.0.1:1", None):
            pass
