"""Single operations of `client.contacts` and `client.locations`: one short method each.

Uses `calls`. Begin with `contacts.py`; `group.py` says how all of them send.
"""
