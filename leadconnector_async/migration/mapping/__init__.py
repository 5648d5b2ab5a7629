"""From columns to contacts: which column goes to which field, by header, preset, option or mapping file.

Uses `tables` and `rules`. Begin with `columns.py`; `rows.py` makes contacts, `targets.py` lists where a column may go.
"""
