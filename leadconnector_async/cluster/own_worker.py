"""Set up a worker of our own cluster: it ignores Ctrl-C, which is for the lead, who ends the load in order."""

from __future__ import annotations

import signal


def dask_setup(_worker: object) -> None:
    """Leave Ctrl-C to the process that started this one; Dask calls this by its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
