"""Who is logged in to the sandbox: codes, pairs of tokens, and what each token may do."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from .answers import Refusal
from .shelves import Fields, Shelf

CLIENT_ID: Final = "5f8d0d55b54764421b7156c3-sandbox1"
CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105  (it opens nothing but a sandbox)
DEFAULT_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
ALL_SCOPES: Final = (
    "contacts.readonly contacts.write locations.readonly locations/customFields.readonly locations/customFields.write "
    "oauth.readonly oauth.write"
).split()
COMPANY_ID: Final = "SandboxCompany000001"
CODE_SECONDS: Final = 600.0
PAIR_SECONDS: Final = 86_399.0
LOCATION_SECONDS: Final = 86_400.0
GRACE_SECONDS: Final = 30.0
_KEPT_SECONDS: Final = 3600.0  # an access token, after its end
_LETTERS: Final = string.ascii_lowercase + string.digits


class Bearer(Struct, frozen=True):
    """Who sends a call.

    Attributes:
        user_type: `Location` or `Company`.
        account_id: The location's id, or the agency's.
    """

    user_type: str
    account_id: str
    scopes: tuple[str, ...]

    def check(self, scope: str, location_id: str, *, may_be_agency: bool) -> None:
        """Raise the refusal of a call that this token may not make.

        Args:
            scope: What the call needs.
            location_id: The location that it is about; empty where it names none.
            may_be_agency: Whether an agency may make it with its own token.
        """
        if self.user_type == "Company" and not may_be_agency:
            raise Refusal(
                401,
                "This authClass type is not allowed to access this scope. Please verify your IAM configuration if this "
                "is not the case.",
                error=None,
            )
        if scope not in self.scopes:
            raise Refusal(401, "The token is not authorized for this scope.", error=None)
        if self.user_type == "Location" and location_id not in ("", self.account_id):
            raise Refusal(403, "The token does not have access to this location.", error=None)


class IssuedTokens:
    """Gives codes, and tokens for codes. All times are seconds since 1970.

    Args:
        chance: The source of codes and tokens, which open nothing but this sandbox.
        wall: Seconds since 1970.

    Attributes:
        refreshes: How many new pairs were given for refresh tokens; answers given once more are not counted.
        grace: How long a spent refresh token still gets the pair that it was spent for, in seconds.
    """

    def __init__(self, chance: random.Random, wall: Callable[[], float]) -> None:
        self._chance = chance
        self._wall = wall
        self.codes = Shelf("code", "accountId")
        self.pairs = Shelf("pair", "accountId")  # by refresh token, the spent ones, too
        self.tokens = Shelf("token", "accountId")  # by access token
        self.refreshes = 0
        self.grace = GRACE_SECONDS

    @property
    def shelves(self) -> tuple[Shelf, ...]:
        """All that is stored."""
        return self.codes, self.pairs, self.tokens

    def new_code(self, user_type: str, account_id: str, scopes: tuple[str, ...], redirect_uri: str) -> str:
        """Return a code, as a login gives it."""
        code = self._text(40)
        self.codes.put(
            {
                "id": code,
                "accountId": account_id,
                "userType": user_type,
                "scopes": list(scopes),
                "redirectUri": redirect_uri,
                "expiresAt": self._wall() + CODE_SECONDS,
            }
        )
        return code

    def has_code(self, code: str) -> bool:
        """Whether there is such a code, good or not."""
        return code in self.codes

    def redeem(self, code: str, redirect_uri: str | None) -> Fields | None:
        """Return the pair for a code, which is spent then; None for one that is not good."""
        found = self.codes.get(code)
        if found is None:
            return None
        if found["redirectUri"] and redirect_uri not in (None, found["redirectUri"]):
            return None
        self.codes.take(code)
        if self._wall() >= found["expiresAt"]:
            return None
        return self._new_pair(found["userType"], found["accountId"], tuple(found["scopes"]))

    def rotate(self, refresh_token: str) -> Fields | None:
        """Return the next pair for a refresh token; within the grace, the same one as before; None for one not good."""
        pair = self.pairs.get(refresh_token)
        if pair is None:
            return None
        if "next" in pair:
            return self.pairs.get(pair["next"]) if self._wall() < pair["spentAt"] + self.grace else None
        new = self._new_pair(pair["userType"], pair["accountId"], tuple(pair["scopes"]))
        self.pairs.put({**pair, "next": new["id"], "spentAt": self._wall()})
        self.refreshes += 1
        return new

    def _new_pair(self, user_type: str, account_id: str, scopes: tuple[str, ...]) -> Fields:
        access_token = self.new_token(user_type, account_id, scopes, PAIR_SECONDS)
        return self.pairs.put(
            {
                "id": self._text(40),
                "accountId": account_id,
                "userType": user_type,
                "scopes": list(scopes),
                "accessToken": access_token,
                "expiresAt": self._wall() + PAIR_SECONDS,
            }
        )

    def new_token(self, user_type: str, account_id: str, scopes: tuple[str, ...], seconds: float) -> str:
        """Return an access token, in the form of the service's."""
        now = self._wall()
        for token in self.tokens.of(account_id):
            if now >= token["expiresAt"] + _KEPT_SECONDS:
                self.tokens.take(token["id"])
        claims = {
            "authClass": user_type,
            "authClassId": account_id,
            "channel": "OAUTH",
            "oauthMeta": {"scopes": scopes},
            "iat": int(now),
            "exp": int(now + seconds),
        }
        access_token = ".".join((_base64({"alg": "RS256", "typ": "JWT"}), _base64(claims), self._text(43)))
        self.tokens.put(
            {
                "id": access_token,
                "accountId": account_id,
                "userType": user_type,
                "scopes": list(scopes),
                "expiresAt": now + seconds,
            }
        )
        return access_token

    def bearer(self, access_token: str) -> Bearer | None:
        """Return whose token it is; None for one that is unknown or at its end."""
        token = self.tokens.get(access_token)
        if token is None or self._wall() >= token["expiresAt"]:
            return None
        return Bearer(token["userType"], token["accountId"], tuple(token["scopes"]))

    def expire(self, account_id: str | None) -> None:
        """Let the access tokens of an account, or all, come to their end now."""
        now = self._wall()
        for token in list(self.tokens.values()):
            if account_id in (None, token["accountId"]) and token["expiresAt"] > now:
                self.tokens.put({**token, "expiresAt": now})

    def revoke(self, account_id: str) -> None:
        """Forget all tokens of an account, as when it removes the app."""
        self.tokens.take_all_of(account_id)
        self.pairs.take_all_of(account_id)

    def newest_pair(self, account_id: str) -> Fields | None:
        """Return the last pair that an account was given, or None."""
        return next((pair for pair in reversed(self.pairs.of(account_id)) if "next" not in pair), None)

    def _text(self, length: int) -> str:
        return "".join(self._chance.choices(_LETTERS, k=length))


def _base64(fields: Fields) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(fields)).rstrip(b"=").decode()
