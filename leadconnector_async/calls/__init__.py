"""One call: token, slot, exchange, retry, and what is known after a lost answer. aiohttp's client is used here alone.

Uses `limits` and `auth`. Begin with `caller.py`; `transport.py` is the exchange, `retry.py` when to try again.
"""
