"""Many upserts at once: sources, order, one pool of workers with a circuit breaker, outcomes, and the report.

Uses `contacts` and `rules`. Begin with `contacts.py`, then `load.py`; `run_log.py` is what a load asks of its memory.
"""
