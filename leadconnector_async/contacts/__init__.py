"""client.contacts: one short method an operation."""

from .contacts import Contacts
from .one import ContactLike, was_created_since

__all__ = ["ContactLike", "Contacts", "was_created_since"]
