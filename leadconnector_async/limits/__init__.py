"""The rate limit of a location, kept in this process or shared through Redis, and the quota of its day.

Uses `protocol`. Begin with `limit.py`, which says what a window is; `local.py` is the one for one process.
"""
