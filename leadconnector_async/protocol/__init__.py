"""The API without a network: build each request, read each answer. No asyncio, no aiohttp.

Uses `models`. Begin with `request.py` and `contacts.py`; `answers.py` turns answers into values or errors.
"""

from .answers import read_response
from .contacts import build_create, build_delete, build_get, build_update, build_upsert
from .links import build_tags
from .request import API_VERSIONS, USER_AGENT, Request, Scope, T, check_api_version

__all__ = [
    "API_VERSIONS",
    "USER_AGENT",
    "Request",
    "Scope",
    "T",
    "build_create",
    "build_delete",
    "build_get",
    "build_tags",
    "build_update",
    "build_upsert",
    "check_api_version",
    "read_response",
]
