"""Deliveries signed with keys of our own, so that they can be right in all points but one."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from leadconnector_async.webhooks import WebhookKeys

NEWER, OLDER = "x-ghl-signature", "x-wh-signature"
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def public(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


KEYS = WebhookKeys(ed25519=(public(ED25519),), rsa=(public(RSA),))


def sign(body: bytes, *headers: str) -> dict[str, str]:
    """The headers of a delivery."""
    signatures = {NEWER: ED25519.sign(body), OLDER: RSA.sign(body, padding.PKCS1v15(), SHA256())}
    return {name: base64.b64encode(signatures[name]).decode() for name in headers or (NEWER,)}


def delivery(now: float, **fields: Any) -> bytes:
    """A body as the vendor sends it, just now."""
    values = {"type": "ContactUpdate", "locationId": "L1", "id": "C1", "webhookId": "w-1", "timestamp": now, **fields}
    return json.dumps({name: value for name, value in values.items() if value is not ...}).encode()
