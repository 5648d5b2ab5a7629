"""OAuthApp: an app of the marketplace, and all accounts that have installed it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from ..errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientStateError,
    ConfigurationError,
    LeadConnectorError,
    LocationNotCoveredError,
    LoginRequiredError,
    NotFoundError,
    PermissionDeniedError,
    UsageError,
)
from ..protocol import Request, T
from ..protocol.oauth import (
    STANDARD_PAGES,
    WHITE_LABEL_PAGES,
    Client,
    Grant,
    InstalledLocation,
    LocationToken,
    UserType,
    build_authorization_url,
    build_code_exchange,
    build_installed_locations,
    build_location_token,
    build_refresh,
)
from .logins import AccountInfo, Logins, describe
from .renewal import BackgroundTasks, ExpiringToken, Renewed, ask_for_pair
from .source import Line
from .stores import MemoryTokenStore, TokenStore

V = TypeVar("V", bound=ExpiringToken)

DEFAULT_SCOPES: Final = ("contacts.readonly", "contacts.write", "locations.readonly")


class OAuthApp:
    """An app of the marketplace. Given to `LeadConnector` in place of a token, it serves all accounts logged in to it.

    Each location gets the token of its own login, else one that is made by the agency that is logged in. Tokens are
    renewed ahead of their end, and when the service refuses one; each account by one call at a time, also among
    processes that share a store which can lock.

    It asks the service through the client that it was given to: open that before you call `exchange`.

    Args:
        client_id: Of the app, from its settings in the marketplace.
        client_secret: Its secret.
        redirect_uri: Where the service sends the browser with a code; one of those in the app's settings.
        scopes: What the app may do; all must be in its settings.
        store: Where logins are kept; only in memory by default, so that they are lost when the process ends.
        pages: Address of the pages that `authorization_url` leads to, for a sandbox; the service's own by default.

    Raises:
        ConfigurationError: An argument is missing or cannot be used.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        redirect_uri: str,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        store: TokenStore | None = None,
        pages: str | None = None,
    ) -> None:
        for name, value in (("client_id", client_id), ("client_secret", client_secret), ("redirect_uri", redirect_uri)):
            if not isinstance(value, str):
                raise ConfigurationError(f"{name} is {type(value).__name__}; it must be a text")
        if not client_id.strip():
            raise ConfigurationError("there is no client id: copy it from the app's settings in the marketplace")
        if not client_secret.strip():
            raise ConfigurationError("there is no client secret: make one in the app's settings in the marketplace")
        if urlsplit(redirect_uri).scheme not in ("http", "https"):
            raise ConfigurationError(f"redirect_uri {redirect_uri!r} is not an address; write one such as https://...")
        self.scopes = tuple(scopes.split() if isinstance(scopes, str) else scopes)
        if not self.scopes:
            raise ConfigurationError("an app needs scopes, such as contacts.write")
        self.client = Client(
            client_id=client_id.strip(), client_secret=client_secret.strip(), redirect_uri=redirect_uri
        )
        self.logins = Logins(store if store is not None else MemoryTokenStore(), self.client.client_id)
        self._pages = None if pages is None else pages.rstrip("/")
        self._lines: list[tuple[Line, asyncio.AbstractEventLoop]] = []
        self._home = ""
        self._tasks = BackgroundTasks()
        self._accounts: dict[str, OAuthAccount] = {}
        self._routes: dict[str, OAuthAccount] = {}
        self._finding: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<OAuthApp {self.client.client_id}>" if hasattr(self, "client") else "<OAuthApp without a client>"

    # ------------------------------------------------------------------------------------------ logging in

    @staticmethod
    def new_state() -> str:
        """Return a fresh random text to send along with a login. Keep it with the user's session until they return."""
        return secrets.token_urlsafe(32)

    def authorization_url(self, state: str, *, white_label: bool = False) -> str:
        """Return the address of the page on which a user chooses what the app may act for.

        Args:
            state: From `new_state`; the browser brings it back with the code.
            white_label: Whether to show the page without the name HighLevel.

        Raises:
            ConfigurationError: There is no state.
        """
        if not state:
            raise ConfigurationError("a login needs a state, such as new_state() gives")
        pages = self._pages or (WHITE_LABEL_PAGES if white_label else STANDARD_PAGES)
        return build_authorization_url(self.client, self.scopes, state, pages)

    async def exchange(
        self,
        code: str,
        *,
        state: str | None = None,
        expected_state: str | None = None,
        without_state: bool = False,
        user_type: UserType | None = None,
    ) -> OAuthAccount:
        """Turn the code of a login into an account, whose tokens are stored then. A cancelled caller loses nothing.

        Args:
            code: What the browser brought.
            state: What it brought with it.
            expected_state: What `authorization_url` was given for this user's session.
            without_state: Whether to take a code that came without a state, where none was expected: a user who
                installs the app from the marketplace's own page brings none. Anybody can then have a user of yours
                install their account, so show which one it is and ask.
            user_type: Which kind of token to ask for, where the app is for both.

        Raises:
            LoginRequiredError: The states differ or are missing, or the service does not take the code; the user is to
                begin anew.
            ConfigurationError: The service does not take the client id and secret.
            TokenStoreError: The store cannot be written; where that showed only afterwards, the code is spent.
            CallError: The service gave no answer. The code may be spent.
            ClientStateError: No client is open.
        """
        is_none_wanted = without_state and not state and not expected_state
        if not is_none_wanted and not _is_same(state or "", expected_state or ""):
            raise LoginRequiredError(
                "the state that came back is not the one that this login began with, so it may be somebody else's: "
                "log in again"
            )
        if not code.strip() or not code.strip().isprintable():
            raise LoginRequiredError("the service sent no code; log in again")
        return await self._tasks.join(self._tasks.start(self._exchange(code.strip(), user_type)))

    async def _exchange(self, code: str, user_type: UserType | None) -> OAuthAccount:
        line = self.line
        await self.logins.check()  # while the code is still good
        request = build_code_exchange(self.client, code, user_type, line.api_version)
        answer = await ask_for_pair(line, request)
        grant = answer.grant(line.base_url, line.clock.time())
        await self.logins.add(grant)
        account = self.account(grant.account_id)
        account.adopt(grant)
        self._routes.clear()
        return account

    # ------------------------------------------------------------------------------------------ accounts

    def account(self, account_id: str) -> OAuthAccount:
        """Return an account by the id of its location or agency. Whether it is logged in shows when it is used."""
        if not account_id:
            raise ConfigurationError("an account is named by the id of its location or agency")
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = OAuthAccount(self, account_id)
        return account

    async def accounts(self) -> list[AccountInfo]:
        """Return what is stored of all accounts that are logged in, but no token; the first to log in first."""
        found = [await self.logins.find(account_id) for account_id in await self.logins.accounts()]
        return [describe(grant) for grant in found if grant is not None]

    async def forget(self, account_id: str) -> bool:
        """Log an account out: forget its tokens.

        The service has no call for that: the access token stays good until it expires (within a day), and the app stays
        installed until the account removes it.

        Returns:
            Whether it was logged in.
        """
        was_there = await self.logins.remove(account_id)
        if (account := self._accounts.pop(account_id, None)) is not None:
            account.adopt(None)
        self._routes.clear()
        return was_there

    # ------------------------------------------------------------------------------------------ as a token source

    async def token(self, location_id: str) -> str:
        """Return a token that acts for a location; see `OAuthAccount.token`.

        Args:
            location_id: The location; may be empty where only one account is logged in.

        Raises:
            LoginRequiredError, TokenStoreError, CallError: As `OAuthAccount.token`.
            LocationNotCoveredError: No account that is logged in may act for it.
        """
        account = self._routes.get(location_id)
        if account is None:
            account = await self._route(location_id)
        return await account.token(location_id)

    async def refresh(self, location_id: str, refused: str) -> bool:
        """Replace a token that was refused."""
        account = self._routes.get(location_id) or await self._route(location_id)
        return await account.refresh(location_id, refused)

    async def _route(self, location_id: str) -> OAuthAccount:
        """Find the account that acts for a location, once for all calls that wait for it, and remember it."""
        _ = self.line  # without an open client, raise that first
        try:
            async with self._finding.setdefault(location_id, asyncio.Lock()):
                if location_id not in self._routes:
                    self._routes[location_id] = await self._find(location_id)
                return self._routes[location_id]
        finally:
            self._finding.pop(location_id, None)

    async def _find(self, location_id: str) -> OAuthAccount:
        """Find the account that acts for a location: its own, else the agency that gives a token for it."""
        if location_id and await self.logins.find(location_id) is not None:
            return self.account(location_id)
        accounts = await self.logins.accounts()
        if not accounts:
            raise LoginRequiredError("nobody is logged in to this app: log in, or install the app in an account")
        if not location_id:
            if len(accounts) > 1:
                raise ConfigurationError("several accounts are logged in: name the location (location_id) of each call")
            return self.account(next(iter(accounts)))
        agencies = [account_id for account_id, user_type in accounts.items() if user_type == "Company"]
        if len(agencies) == 1:
            return self.account(agencies[0])
        for agency in agencies:
            try:
                await self.account(agency).token(location_id)
            except (LocationNotCoveredError, LoginRequiredError):
                continue
            return self.account(agency)
        raise LocationNotCoveredError(
            f"no account that is logged in to this app may act for location {location_id}: install the app there, or "
            "log in as its agency",
            location_id=location_id,
        )

    # ------------------------------------------------------------------------------------------ the way to the service

    def connect(self, line: Line) -> None:
        """Take the way to the service; done by the client when it opens.

        Raises:
            ClientStateError: The app is in use on another event loop.
            ConfigurationError: It is in use with another API, which would get the tokens of this one.
        """
        loop = asyncio.get_running_loop()
        for other, its_loop in self._lines:
            if its_loop is not loop:
                raise ClientStateError("this app is in use on another event loop; make an OAuthApp for each")
            if other.base_url != line.base_url:
                raise ConfigurationError(f"this app is in use with {other.base_url}; make another for {line.base_url}")
        self._lines.append((line, loop))
        if line.base_url != self._home:  # what was cached is of another service
            self._home = line.base_url
            self._routes.clear()
            for account in self._accounts.values():
                account.adopt(None)

    async def disconnect(self, line: Line) -> None:
        """Finish what is under way; done by the client when it closes."""
        try:
            await self._tasks.wait()
        finally:
            self._lines = [(other, loop) for other, loop in self._lines if other is not line]

    @property
    def line(self) -> Line:
        """The way to the service.

        Raises:
            ClientStateError: No client is open.
        """
        if not self._lines:
            raise ClientStateError("no client is open on this app; use `async with LeadConnector(app) as lc:`")
        return self._lines[-1][0]

    def check_home(self, grant: Grant) -> Grant:
        """Return a pair where it is of the API that it would be sent to.

        Raises:
            LoginRequiredError: It is of another.
        """
        if grant.base_url != self.line.base_url:
            raise LoginRequiredError(
                f"the login of {grant.account_id} is for {grant.base_url}, and is not sent to {self.line.base_url}: "
                "log in there",
                account_id=grant.account_id,
            )
        return grant

    def renewed(self, renew: Callable[[str | None], Coroutine[Any, Any, V]]) -> Renewed[V]:
        """Return a token of this app's that is renewed in time."""
        return Renewed(renew, line=lambda: self.line, tasks=self._tasks)


def _is_same(state: str, expected: str) -> bool:
    given, wanted = (text.encode("utf-8", "surrogatepass") for text in (state, expected))
    return bool(wanted) and hmac.compare_digest(given, wanted)


# ---------------------------------------------------------------------------------------------- one installation


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
        return f"<OAuthAccount {getattr(self, 'account_id', None)}>"

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
            # The old refresh token is spent by now. So the new pair is on disk before anybody uses it: if this process
            # dies, the next one finds it. Only a process that dies before this line, and is not asked again within
            # the service's 30 s, loses the login.
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
        # Kept until it is stored: if `save` fails, the next renewal stores this pair, and spends no token again.
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
