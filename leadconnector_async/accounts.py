"""OAuthAccount: a location or an agency that has installed the app, as a source of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from .auth import Line
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LeadConnectorError,
    LocationNotCoveredError,
    LoginRequiredError,
    NotFoundError,
    PermissionDeniedError,
    UsageError,
)
from .grants import Grant, InstalledLocation, LocationToken
from .installed_locations import build_installed_locations
from .logins import AccountInfo, describe
from .oauth import build_location_token, build_refresh
from .protocol import Request, T
from .renewal import Renewed, ask_for_pair

if TYPE_CHECKING:
    from .oauth_app import OAuthApp


class OAuthAccount:
    """An account of an `OAuthApp`: give it to `LeadConnector` in place of a token. Made by the app alone.

    That of a location acts for its location. That of an agency acts for each location that has the app installed: the
    tokens for these are made when they are first needed.

    Attributes:
        account_id: The id of the location, or of the agency.
    """

    def __init__(self, app: OAuthApp, account_id: str) -> None:
        self.account_id = account_id
        self._app = app
        self._pair: Renewed[Grant] = app.renewed(self._renew_pair)
        self._location_tokens: dict[str, Renewed[LocationToken]] = {}
        self._unsaved: tuple[str, Grant] | None = None
        self._lost: str | None = None
        self._refused: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<OAuthAccount {self.account_id}>"

    # ------------------------------------------------------------------------------------------ as a token source

    def connect(self, line: Line) -> None:
        """Take the way to the service; done by the client."""
        self._app.connect(line)

    async def disconnect(self, line: Line) -> None:
        """Finish what is under way; done by the client."""
        await self._app.disconnect(line)

    async def token(self, location_id: str) -> str:
        """Return a token that acts for a location, renewed where that is due.

        Args:
            location_id: The location; empty for the account itself.

        Raises:
            LocationNotCoveredError: The account may not act for it.
            LoginRequiredError: The account must log in again.
            TokenStoreError: The store cannot be read, or a new pair not be stored.
            CallError: The service could not be asked for a token that is needed.
        """
        location_token = self._location_tokens.get(location_id)
        if location_token is None:
            grant = await self._pair.get()
            if self._is_own(grant, location_id):
                return grant.access_token
            location_token = self._location_tokens.setdefault(
                location_id, self._app.renewed(partial(self._make_location_token, location_id))
            )
        try:
            return (await location_token.get()).access_token
        except LocationNotCoveredError:
            self._location_tokens.pop(location_id, None)
            raise

    async def refresh(self, location_id: str, refused: str) -> bool:
        """Replace a token that was refused; True, or an error that says why it could not be."""
        location_token = self._location_tokens.get(location_id)
        if location_token is None:
            await self._pair.replace(refused)
        else:
            await location_token.replace(refused)
        return True

    def _is_own(self, grant: Grant, location_id: str) -> bool:
        """Whether the account's own token is the one for a location."""
        if location_id in ("", grant.account_id):
            return True
        if grant.user_type == "Location":
            raise LocationNotCoveredError(
                f"the login is that of location {grant.account_id}, and may not act for {location_id}: log in there, "
                "or as the agency of both",
                location_id=location_id,
            )
        return False

    # ------------------------------------------------------------------------------------------ the pair

    def adopt(self, grant: Grant | None) -> None:
        """Take the pair of a new login, which is stored already, or None after a logout."""
        self._unsaved = self._refused = None
        self._pair.put(grant)
        self._location_tokens.clear()

    async def _renew_pair(self, refused: str | None) -> Grant:
        logins = self._app.logins
        grant = await logins.load(self.account_id)
        if self._is_fresh(grant, refused):
            return self._app.check_home(grant)
        async with logins.lock(self.account_id):
            grant = await logins.load(self.account_id)  # somebody else may have renewed it while we waited
            if self._is_fresh(grant, refused):
                return self._app.check_home(grant)
            new = await self._next_pair(self._app.check_home(grant))
            # On disk before its first use: should this process die now, the next one finds it.
            await logins.save(new)
            self._unsaved = None
            return new

    def _is_fresh(self, grant: Grant, refused: str | None) -> bool:
        return grant.access_token != refused and self._app.line.clock.time() < grant.renew_at

    async def _next_pair(self, grant: Grant) -> Grant:
        """Spend a refresh token; where its pair came already and could not be stored, return that."""
        if self._unsaved is not None and self._unsaved[0] == grant.refresh_token:
            return self._unsaved[1]
        if self._refused is not None and self._refused[0] == grant.refresh_token:
            raise LoginRequiredError(self._refused[1], account_id=self.account_id)  # until somebody logs in
        line, client = self._app.line, self._app.client
        try:
            answer = await ask_for_pair(
                line,
                build_refresh(client, grant, line.api_version),
                account_id=self.account_id,
                on_lost=partial(setattr, self, "_lost", grant.refresh_token),
            )
        except LoginRequiredError as error:
            sentence = _lost_answer(self.account_id) if self._lost == grant.refresh_token else str(error)
            self._refused = grant.refresh_token, sentence
            raise LoginRequiredError(sentence, account_id=self.account_id) from None
        new = answer.grant(line.base_url, line.clock.time(), grant)
        self._unsaved = grant.refresh_token, new
        return new

    # ------------------------------------------------------------------------------------------ an agency's locations

    async def _make_location_token(self, location_id: str, refused: str | None) -> LocationToken:
        grant = await self._pair.get()
        request = build_location_token(str(grant.company_id), location_id, self._app.line.api_version)
        try:
            answer = await self._send(request, grant)
        except (BadRequestError, NotFoundError, PermissionDeniedError) as error:
            raise _not_covered(error, self.account_id, location_id) from None
        return answer.token(self._app.line.clock.time())

    async def _send(self, request: Request[T], grant: Grant) -> T:
        """Send something as the account itself."""
        try:
            return await self._app.line.send(request, grant.access_token)
        except AuthenticationError:
            grant = await self._pair.replace(grant.access_token)
        return await self._app.line.send(request, grant.access_token)

    async def installed_locations(
        self, *, query: str | None = None, is_installed: bool | None = True, page_size: int = 20
    ) -> AsyncIterator[InstalledLocation]:
        """Yield the locations of an agency that have the app installed, in the service's order, each once.

        Args:
            query: Only those whose name has this in it.
            is_installed: True for those that have the app, False for those that have not, None for all.
            page_size: How many to ask for at once.

        Raises:
            UsageError: The account is not that of an agency.
            PermissionDeniedError: The scope `oauth.readonly` is missing.
            CallError: A page could not be read; the locations before it were yielded.
        """
        grant = await self._pair.get()
        if grant.user_type != "Company":
            raise UsageError("installed locations are asked for as an agency, and this login is that of one location")
        seen: set[str] = set()
        page: str | None = ""
        while page is not None:
            request = build_installed_locations(
                str(grant.company_id),
                self._app.client.app_id,
                self._app.line.api_version,
                page=page,
                size=page_size,
                query=query,
                is_installed=is_installed,
            )
            answer = await self._send(request, await self._pair.get())
            for location in answer.locations:
                if location.id not in seen:  # pages move where the app is installed meanwhile
                    seen.add(location.id)
                    yield location
            page = answer.next if answer.locations else None

    async def info(self) -> AccountInfo:
        """Return what is stored of the account, but no token; the service is not asked.

        Raises:
            LoginRequiredError: It is not logged in.
        """
        return describe(await self._app.logins.load(self.account_id))


def _lost_answer(account_id: str) -> str:
    return (
        f"the answer to a renewal of the login of {account_id} was lost, and with it the new tokens; the service takes "
        "the old ones no more: log in again"
    )


def _not_covered(error: APIError, company_id: str, location_id: str) -> LeadConnectorError:
    text = str(error).lower()
    if error.status == HTTPStatus.UNAUTHORIZED and "scope" in text:
        return ConfigurationError(
            f"the login of agency {company_id} may not act for its locations ({error}): add the scope oauth.write to "
            "the app, and log in again"
        )
    return LocationNotCoveredError(
        f"the login of agency {company_id} gives no token for location {location_id} ({error}): install the app there, "
        "or log in there",
        location_id=location_id,
    )
