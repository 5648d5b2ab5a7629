"""Rules for cells and values: what a contact may hold, and what becomes of the rest.

Uses `models`. Begin at `fields`, which lists the rules of each field; `contacts` checks whole contacts by them.
"""
