"""What a source is: each kind of file is a table of text cells here; what a column means comes later.

Uses errors alone. Begin with `open.py`, from a name to the reader of its kind; `table.py` is what all readers give.
"""

from __future__ import annotations

from .open import Reading, find_files, open_table
from .table import Record, Table

__all__ = ["Reading", "Record", "Table", "find_files", "open_table"]
