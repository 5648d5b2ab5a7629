"""Long-lived ingestion: an outbox that takes contacts at once and sends them when the limits allow.

Uses `client`, and `run` for what files have in common. Begin with `outbox.py`; `store.py` is the file that it keeps,
`drainer.py` sends what is in it, `service.py` takes contacts over HTTP.
"""

from ..errors import KeyConflictError, OutboxFullError
from .outbox import Outbox
from .store import DeadLetter, Put, Receipt, Settled, Status

__all__ = ["DeadLetter", "KeyConflictError", "Outbox", "OutboxFullError", "Put", "Receipt", "Settled", "Status"]
