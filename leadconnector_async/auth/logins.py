"""The logins of one app in its store: its accounts, and the pair of tokens of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from ..errors import LoginRequiredError, TokenStoreError
from ..protocol.oauth import Grant, UserType
from .stores import LockingTokenStore, TokenStore


class AccountInfo(Struct, frozen=True, kw_only=True):
    """An account that is logged in; no tokens.

    Attributes:
        account_id: The id of the location, or of the agency.
        user_type: `Location`, or `Company` for an agency.
        company_id: The agency, where the service named it.
        expires_at: When its access token ends, in seconds since 1970; it is renewed before.
        base_url: The API that it is for.
        approved_locations: The locations that an agency approved at its login, where the service said so.
    """

    account_id: str
    user_type: UserType
    company_id: str | None
    scopes: tuple[str, ...]
    expires_at: float
    base_url: str
    approved_locations: tuple[str, ...]


class _Index(Struct):
    """All accounts of an app, as stores cannot be asked for their keys."""

    accounts: dict[str, UserType] = {}


_GRANT = msgspec.json.Decoder(Grant)
_INDEX = msgspec.json.Decoder(_Index)


class Logins:
    """The logins of one app.

    Args:
        store: Where they are.
        client_id: Of the app.
    """

    def __init__(self, store: TokenStore, client_id: str) -> None:
        self._store = store
        self._client_id = client_id
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def lock(self, account_id: str) -> AsyncIterator[None]:
        """Keep others from changing what is stored of an account; other processes, too, where the store can."""
        async with self._locks.setdefault(account_id, asyncio.Lock()):
            if isinstance(self._store, LockingTokenStore):
                async with self._store.lock(self._key(account_id)):
                    yield
            else:
                yield

    async def find(self, account_id: str) -> Grant | None:
        """Return what is stored of an account, or None."""
        value = await self._store.load(self._key(account_id))
        try:
            return None if value is None else _GRANT.decode(value)
        except msgspec.DecodeError:
            raise TokenStoreError(f"what is stored of {account_id} is damaged; log in again") from None

    async def load(self, account_id: str) -> Grant:
        """Return what is stored of an account.

        Raises:
            LoginRequiredError: There is none.
        """
        grant = await self.find(account_id)
        if grant is None:
            raise LoginRequiredError(
                f"{account_id} is not logged in to this app (or was logged out): log in, or install the app there",
                account_id=account_id,
            )
        return grant

    async def save(self, grant: Grant) -> None:
        """Keep a pair; the account must be in the index."""
        await self._store.save(self._key(grant.account_id), msgspec.json.encode(grant))

    async def check(self) -> None:
        """Write what is there once more, to see whether the store can be written."""
        async with self.lock(""):
            await self._save_accounts(await self.accounts())

    async def add(self, grant: Grant) -> None:
        """Keep the pair of a login."""
        async with self.lock(grant.account_id):
            await self.save(grant)
        async with self.lock(""):
            accounts = await self.accounts()
            if accounts.get(grant.account_id) != grant.user_type:
                await self._save_accounts({**accounts, grant.account_id: grant.user_type})

    async def remove(self, account_id: str) -> bool:
        """Forget an account, and return whether there was one."""
        async with self.lock(account_id):
            was_there = await self._store.load(self._key(account_id)) is not None
            await self._store.save(self._key(account_id), None)
        async with self.lock(""):
            accounts = await self.accounts()
            if accounts.pop(account_id, None) is not None:
                await self._save_accounts(accounts)
        return was_there

    async def accounts(self) -> dict[str, UserType]:
        """Return all accounts, the first to log in first."""
        value = await self._store.load(self._key(""))
        try:
            return {} if value is None else _INDEX.decode(value).accounts
        except msgspec.DecodeError:
            raise TokenStoreError(
                "the list of logins in the store is damaged; move the store away, and log in again"
            ) from None

    async def _save_accounts(self, accounts: dict[str, UserType]) -> None:
        await self._store.save(self._key(""), msgspec.json.encode(_Index(accounts)) if accounts else None)

    def _key(self, account_id: str) -> str:
        return f"{self._client_id}/{account_id}"


def describe(grant: Grant) -> AccountInfo:
    """Return what may be shown of a login."""
    return AccountInfo(
        account_id=grant.account_id,
        user_type=grant.user_type,
        company_id=grant.company_id,
        scopes=grant.scopes,
        expires_at=grant.expires_at,
        base_url=grant.base_url,
        approved_locations=grant.approved_locations,
    )
