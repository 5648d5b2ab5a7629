"""The base of all groups of operations: the client they belong to, and how they send."""

from __future__ import annotations

from ..calls.call import Call
from ..calls.caller import Caller
from ..errors import NotFoundError, UsageError
from ..protocol import Request, Scope, T


class OperationGroup:
    """Operations that belong together, on one client."""

    def __init__(self, caller: Caller) -> None:
        self.client = caller

    async def _send(self, request: Request[T]) -> T:
        return await self.client.send(Call(request))

    async def _send_delete(self, request: Request[None]) -> None:
        try:
            await self._send(request)
        except NotFoundError as error:
            if not error.may_be_applied:  # else an earlier try of this call deleted it, and the answer was lost
                raise

    def _scope(self, location_id: str | None) -> Scope:
        """What a call counts against that needs no location itself."""
        return Scope(location_id or self.client.location_id or "", self.client.api_version)

    def _located(self, location_id: str | None) -> Scope:
        """What a call counts against that names its location.

        Raises:
            UsageError: Neither the call nor the client has one.
        """
        scope = self._scope(location_id)
        if not scope.location_id:
            raise UsageError("no location: pass location_id to the client or to this call")
        return scope
