"""What a source is: each kind of file is a table of text cells here; what a column means comes later.

tables      open_table: from the name of a file to the reader of its kind
table       Table and Record: what all readers give
file        the bytes of a file, unpacked on the way
text        bytes to lines of text, in whatever encoding
cells       values to text
delimited   CSV and TSV
json_lines  an object a line
json_items  the objects of an array
workbook    Excel and OpenDocument
duck        Parquet, and queries of DuckDB
queries     rows of a database
extras      libraries that only some kinds need
"""

from __future__ import annotations

from .table import Record, Table
from .tables import Reading, find_files, open_table

__all__ = ["Reading", "Record", "Table", "find_files", "open_table"]
