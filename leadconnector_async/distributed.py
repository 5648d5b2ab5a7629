"""The name that `cluster` had; programs that use it go on working."""

from .cluster import ClientOptions, OnParts, OnProgress, Parts, Progress, Source, upsert_partitions

__all__ = ["ClientOptions", "OnParts", "OnProgress", "Parts", "Progress", "Source", "upsert_partitions"]
