"""From files to a finished, proved load that can be undone: read, map, check, plan, load, verify, undo, export.

Uses `run`, `rules` and the client. Begin with `load.py`; `tables` reads files, `mapping` makes contacts of their rows,
`report` writes what a run leaves.
"""
