"""The words of token calls: snake_case with the errors of OAuth at first, camelCase with sentences in v3."""

from __future__ import annotations

from typing import Final

from .refusals import Refusal

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")


class Words:
    """How a version spells the fields of a token call, and its refusals."""

    def __init__(self, is_v3: bool) -> None:
        self._is_v3 = is_v3

    def __call__(self, name: str) -> str:
        if not self._is_v3:
            return name
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    def missing(self, name: str) -> Refusal:
        if self._is_v3:
            return Refusal(400, f"Missing parameter: {self(name)}")
        return Refusal(422, [f"{name} must be a string", f"{name} should not be empty"])

    def wrong_grant_type(self) -> Refusal:
        if self._is_v3:
            return Refusal(400, "Invalid parameter: grantType")
        return Refusal(422, [f"grant_type must be one of the following values: {', '.join(GRANT_TYPES)}"])

    def no_code(self) -> Refusal:
        if self._is_v3:
            return Refusal(400, "Invalid grant: authorization code is invalid")
        return self.refuse("UnAuthorized!", "Authorization code not found", status=401)

    def refuse(self, error: str, description: str, v3_text: str | None = None, *, status: int) -> Refusal:
        """Return a refusal in the words of OAuth, which v3 turns into a sentence."""
        if self._is_v3:
            words = error.replace("_", " ").capitalize()
            return Refusal(400, f"{words}: {v3_text or description}")
        return Refusal(status, "", message=None, statusCode=None, error=error, error_description=description)
