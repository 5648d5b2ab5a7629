"""What a source is: each kind of file is a table of text cells here; what a column means comes later.

tables      open_table: from the name of a file to the reader of its kind
table       Table and Record: what all readers give
delimited   CSV and TSV
json_lines  an object a line
text        bytes to lines of text
"""

from __future__ import annotations

from .table import Record, Table
from .tables import open_table

__all__ = ["Record", "Table", "open_table"]
