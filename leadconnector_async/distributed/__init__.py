"""The same load on a Dask cluster: one location never spread over two workers.

run           upsert_partitions: from a source to one report
splitting     the first pass: rows brought together by location
cluster       the workers of a Dask cluster
lead          attends to the workers; dispatch: who loads which location
loader        what runs on a worker; location_load: one location
shared_journal  what became of each row, where all workers can read it
lease, tenure   why no two workers have one location, and no two processes lead one load
store         the folder of a run, through fsspec
"""

from .merge import OnProgress, Progress
from .run import upsert_partitions
from .sources import Source
from .splitting import OnParts, Parts
from .target import ClientOptions

__all__ = ["ClientOptions", "OnParts", "OnProgress", "Parts", "Progress", "Source", "upsert_partitions"]
