"""What a worker of a cluster of our own does first: a Ctrl-C is for the one who leads, who ends the load in order."""

from __future__ import annotations

import signal


def dask_setup(_worker: object) -> None:
    """Leave Ctrl-C to the process that started this one; Dask calls this by its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
