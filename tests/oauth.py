"""An app on a sandbox, for tests of what concerns logins."""

from __future__ import annotations

from typing import Any

from leadconnector_async import OAuthAccount, OAuthApp
from leadconnector_async.sandbox import Sandbox

REDIRECT = "https://example.com/callback"
DAY = 86_400.0


def make_app(sandbox: Sandbox, **options: Any) -> OAuthApp:
    options = {"redirect_uri": REDIRECT, **options}
    client_id = options.pop("client_id", sandbox.oauth.client_id)
    return OAuthApp(client_id, options.pop("client_secret", sandbox.oauth.client_secret), **options)


def token_calls(sandbox: Sandbox) -> int:
    """How often the sandbox was asked for a pair, whatever it answered."""
    return [arrival.path for arrival in sandbox.arrivals].count("/oauth/token")


async def log_in(app: OAuthApp, sandbox: Sandbox, location_id: str | None, **options: Any) -> OAuthAccount:
    """Log a location in, or the agency (None)."""
    return await app.exchange(sandbox.oauth.new_code(location_id, **options), without_state=True)
