"""Where tokens come from: one token, an OAuth app whose tokens are renewed, and the stores that keep them.

Uses `protocol`. Begin with `source.py`; `oauth_app.py` is the app, `renewal.py` renews a token once for all callers.
"""
