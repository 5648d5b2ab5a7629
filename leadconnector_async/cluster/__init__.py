"""The same load on a Dask cluster: no location is ever spread over two workers.

Such a load cannot be verified or undone for now.

Uses `migration`. Begin with `run.py`; `splitting.py` brings rows together by location, `lead.py` attends to workers,
`load.py` runs on them, `journal.py` is their memory, over objects in a store and not over SQLite, `lease.py` keeps two
workers from one location.
"""

from .run import OnProgress, Progress, upsert_partitions
from .splitting import OnParts, Parts, Source
from .workers import ClientOptions

__all__ = ["ClientOptions", "OnParts", "OnProgress", "Parts", "Progress", "Source", "upsert_partitions"]
