"""A load with a memory: the journal, which says of each row what became of it, also after a crash.

Uses `bulk`, whose `RunLog` it implements. Begin with `journal.py`; `timeline.py` counts what happened in each second.
"""
