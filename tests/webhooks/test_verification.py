"""A delivery is taken when it is the vendor's, whole, fresh and new, and else refused for one clear reason."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from leadconnector_async import ConfigurationError, LeadConnectorError, UsageError
from leadconnector_async.webhooks import ContactUpdateEvent, SeenInMemory, WebhookError, WebhookKeys, verify_webhook
from tests.fake_clock import FakeClock
from tests.webhooks.conftest import ED25519, KEYS, NEWER, OLDER, RSA, delivery, public, sign

CLOCK = FakeClock()
NOW = CLOCK.time()
BODY = delivery(NOW)


def verify(body: bytes = BODY, headers: Any = None, **options: Any) -> Any:
    headers = sign(body) if headers is None else headers
    return verify_webhook(body, headers, **{"keys": KEYS, "clock": CLOCK, **options})


def refusal(*arguments: Any, **options: Any) -> WebhookError:
    with pytest.raises(WebhookError) as caught:
        verify(*arguments, **options)
    return caught.value


@pytest.mark.parametrize("names", [(NEWER,), (OLDER,), (NEWER, OLDER), (OLDER, NEWER)])
def test_a_genuine_delivery_becomes_an_event(names: tuple[str, ...]) -> None:
    event = verify(BODY, sign(BODY, *names))
    assert type(event) is ContactUpdateEvent
    assert (event.id, event.location_id, event.webhook_id, event.raw) == ("C1", "L1", "w-1", BODY)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_will_do(kind: Any) -> None:
    assert verify(kind(BODY), sign(BODY)).id == "C1"


def _message(pairs: dict[str, str]) -> Message:
    message = Message()
    for name, value in pairs.items():
        message[name] = value
    return message


@pytest.mark.parametrize(
    "shape",
    [
        dict,
        lambda pairs: {name.upper(): value for name, value in pairs.items()},
        lambda pairs: {name.title(): f" {value} " for name, value in pairs.items()},
        lambda pairs: [(name.encode(), value.encode()) for name, value in pairs.items()],  # ASGI
        lambda pairs: iter(pairs.items()),
        lambda pairs: [*pairs.items(), *pairs.items()],  # the same twice
        CIMultiDict,  # aiohttp
        _message,  # http.server
    ],
)
def test_headers_come_in_any_shape_and_case(shape: Any) -> None:
    headers = {"Host": "example.com", "Content-Type": "application/json", **sign(BODY)}
    assert verify(BODY, shape(headers)).id == "C1"


# ------------------------------------------------------------------------------------------ signatures


@pytest.mark.parametrize(
    "headers",
    [{}, {NEWER: ""}, {NEWER: "N/A"}, {OLDER: "n/a", NEWER: " "}, {"x-ghl-signature-2": sign(BODY)[NEWER]}],
)
def test_an_unsigned_delivery_is_refused(headers: dict[str, str]) -> None:
    assert refusal(BODY, headers).reason == "unsigned"


def test_the_older_signature_never_makes_good_a_newer_one_that_is_wrong() -> None:
    forged = {**sign(BODY, OLDER), NEWER: sign(b"other")[NEWER]}
    assert refusal(BODY, forged).reason == "bad_signature"
    assert refusal(BODY, {**forged, NEWER: "nonsense"}).reason == "bad_signature"
    assert verify(BODY, {**forged, OLDER: "wrong", **sign(BODY, NEWER)}).id == "C1"


def test_a_newer_signature_without_a_key_leaves_it_to_the_older() -> None:
    only_rsa = WebhookKeys(ed25519=(), rsa=KEYS.rsa)
    assert verify(BODY, sign(BODY, NEWER, OLDER), keys=only_rsa).id == "C1"
    assert refusal(BODY, sign(BODY, NEWER), keys=only_rsa).reason == "bad_signature"
    assert (
        refusal(BODY, {**sign(BODY, NEWER), OLDER: sign(b"x", OLDER)[OLDER]}, keys=only_rsa).reason == "bad_signature"
    )
    only_newer = WebhookKeys(ed25519=KEYS.ed25519, rsa=())
    assert "x-wh-signature" in str(refusal(BODY, sign(BODY, OLDER), keys=only_newer))
    assert refusal(BODY, {**sign(BODY, OLDER), NEWER: "N/A"}, keys=only_newer).reason == "bad_signature"


@pytest.mark.parametrize(
    "headers",
    [
        {NEWER: sign(BODY, OLDER)[OLDER]},
        {OLDER: sign(BODY, NEWER)[NEWER]},
        {OLDER: base64.b64encode(RSA.sign(BODY, PKCS1v15(), SHA1())).decode()},
        {OLDER: base64.b64encode(RSA.sign(BODY, PKCS1v15(), SHA256()) + b"\0").decode()},
        {OLDER: base64.b64encode(RSA.sign(BODY, PSS(MGF1(SHA256()), 32), SHA256())).decode()},
        {NEWER: base64.b64encode(Ed25519PrivateKey.generate().sign(BODY)).decode()},
        {NEWER: sign(BODY)[NEWER].replace("=", "")},
        {NEWER: sign(BODY)[NEWER] + "=="},
        {NEWER: sign(BODY)[NEWER][:40] + "\n" + sign(BODY)[NEWER][40:]},
        {NEWER: "é" + sign(BODY)[NEWER]},
        {NEWER: ED25519.sign(BODY).hex()},
        {NEWER: "===="},
    ],
    ids=range(12),
)
def test_a_signature_of_another_kind_or_spelling_is_refused(headers: dict[str, str]) -> None:
    assert refusal(BODY, headers).reason == "bad_signature"


def test_two_different_signatures_under_one_name_are_refused() -> None:
    pairs = [(NEWER, sign(b"other")[NEWER]), *sign(BODY).items()]
    assert refusal(BODY, pairs).reason == "bad_signature"
    assert refusal(BODY, pairs[::-1]).reason == "bad_signature"


@given(st.integers(0, len(BODY) * 8 - 1))
def test_a_bit_flipped_in_the_body_is_refused(bit: int) -> None:
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    for name in (NEWER, OLDER):
        assert refusal(bytes(changed), sign(BODY, name)).reason == "bad_signature"


@pytest.mark.parametrize("name", [NEWER, OLDER])
@given(st.data())
def test_a_bit_flipped_in_the_signature_is_refused(name: str, data: st.DataObject) -> None:
    text = sign(BODY, name)[name].encode()
    bit = data.draw(st.integers(0, len(text) * 8 - 1))
    changed = bytearray(text)
    changed[bit // 8] ^= 1 << bit % 8
    assert refusal(BODY, [(name, bytes(changed))]).reason == "bad_signature"


@given(st.binary(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_nothing_that_was_not_signed_is_taken_or_breaks(body: bytes, newer: str, older: str) -> None:
    assert refusal(body, {NEWER: newer, OLDER: older}).reason in ("unsigned", "bad_signature")


def test_any_of_several_keys_will_do_while_they_are_changed() -> None:
    other = Ed25519PrivateKey.generate()
    keys = WebhookKeys(ed25519=(public(other), *KEYS.ed25519), rsa=())
    assert verify(BODY, keys=keys).id == "C1"
    assert verify(BODY, {NEWER: base64.b64encode(other.sign(BODY)).decode()}, keys=keys).id == "C1"
    assert refusal(BODY, keys=WebhookKeys(ed25519=(public(other),))).reason == "bad_signature"


def test_a_key_may_be_the_base64_without_its_frame_or_have_other_line_ends() -> None:
    bare = "".join(public(ED25519).splitlines()[1:-1])
    for key in (bare, public(ED25519).replace("\n", "\r\n"), public(ED25519).replace("\n", "\\n")):
        assert verify(BODY, keys=WebhookKeys(ed25519=(key,))).id == "C1"


def test_the_vendors_keys_are_the_default_and_refuse_ours() -> None:
    for name in (NEWER, OLDER):
        with pytest.raises(WebhookError) as caught:
            verify_webhook(BODY, sign(BODY, name), clock=CLOCK)
        assert caught.value.reason == "bad_signature"


def test_a_key_that_is_none_is_told_and_not_shown() -> None:
    private = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for wrong in (
        "",
        "nonsense",
        "é",
        private,
        KEYS.rsa[0],
        "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----",
    ):
        with pytest.raises(ConfigurationError, match="no public key") as caught:
            verify(BODY, keys=WebhookKeys(ed25519=(wrong,)))
        assert not wrong.strip() or wrong not in str(caught.value)
    with pytest.raises(ConfigurationError, match="for rsa"):
        verify(BODY, sign(BODY, OLDER), keys=WebhookKeys(rsa=KEYS.ed25519))
    wrong_kinds: list[Any] = [KEYS.rsa[0], (b"bytes",), None]
    for kind in wrong_kinds:
        with pytest.raises(ConfigurationError, match="tuple of texts"):
            WebhookKeys(rsa=kind)
    with pytest.raises(ConfigurationError, match="at least one"):
        WebhookKeys(ed25519=(), rsa=())


# ------------------------------------------------------------------------------------------ bodies and misuse


def test_a_text_is_no_body() -> None:
    for wrong in (BODY.decode(), json.loads(BODY), None):
        with pytest.raises(UsageError, match=r"not bytes.*await request.read\(\)") as caught:
            verify(wrong, sign(BODY))  # type: ignore[arg-type]
        assert not isinstance(caught.value, WebhookError)


def test_what_is_no_headers_is_told() -> None:
    with pytest.raises(UsageError, match="not list"):
        verify(BODY, {name: [value] for name, value in sign(BODY).items()})
    for wrong in (7, "x-ghl-signature", [("a", "b", "c")], [None]):
        with pytest.raises(UsageError, match="mapping, or pairs"):
            verify(BODY, wrong)


def test_a_large_body_is_refused_before_it_is_looked_at() -> None:
    error = refusal(b" " * 101, {}, max_body_bytes=100)
    assert error.reason == "too_large"
    assert verify(BODY, max_body_bytes=len(BODY)).id == "C1"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"a": "\xff"}', b'{"a":' * 100_000, b"{}", b'{"id": 1e999}']
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    assert refusal(body).reason == "malformed"


def test_numbers_that_make_nothing_fresh_are_refused() -> None:
    nan = float("nan")
    for options in ({"max_age": 0.0}, {"max_age": -1.0}, {"max_ahead": -1.0}, {"max_age": nan}, {"max_ahead": nan}):
        with pytest.raises(ConfigurationError):
            verify(BODY, **options)


def test_errors_are_ours_can_be_pickled_and_repeat_nothing() -> None:
    error = refusal(BODY, {NEWER: "c2VjcmV0IHNpZ25hdHVyZQ=="})
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == (str(error), "bad_signature")
    assert isinstance(error, LeadConnectorError)
    assert isinstance(error, ValueError)
    assert "c2Vj" not in f"{error!r}{vars(error)}"


# ------------------------------------------------------------------------------------------ time and replay


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (0, None),
        (299, None),
        (301, "too_old"),
        (86_400, "too_old"),
        (-59, None),
        (-61, "too_early"),
        (-1e9, "too_early"),
    ],
)
def test_only_what_is_fresh_is_taken(age: float, reason: str | None) -> None:
    body = delivery(NOW - age)
    if reason is None:
        assert verify(body).id == "C1"
    else:
        assert refusal(body).reason == reason


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize(
    "timestamp",
    [
        iso(NOW),
        iso(NOW).replace("+00:00", "Z"),
        iso(NOW).replace("+00:00", ".123Z"),
        iso(NOW + 7200).replace("+00:00", "+02:00"),
        iso(NOW).replace("+00:00", ""),
        int(NOW),
        int(NOW * 1000),
    ],
)
def test_times_come_in_several_forms(timestamp: Any) -> None:
    assert verify(delivery(timestamp)).id == "C1"
    assert refusal(delivery(timestamp), clock=FakeClock(NOW + 302)).reason == "too_old"


@pytest.mark.parametrize("timestamp", [..., None, "", "yesterday", True, [], "0001-01-01T00:00:00+14:00", 10**30])
def test_without_a_time_that_can_be_read_nothing_is_fresh(timestamp: Any) -> None:
    body = delivery(timestamp)
    assert refusal(body).reason in ("malformed", "too_early", "too_old")
    assert verify(body, max_age=None).id == "C1"


def test_a_delivery_is_taken_once() -> None:
    clock = FakeClock(NOW)
    seen = SeenInMemory(clock=clock)
    verify(seen=seen, clock=clock)
    assert refusal(seen=seen, clock=clock).reason == "replayed"
    clock.now += 299
    assert refusal(seen=seen, clock=clock).reason == "replayed"
    clock.now += 2
    assert refusal(seen=seen, clock=clock).reason == "too_old"


def test_a_replay_from_the_vendors_future_is_refused_for_as_long_as_it_is_fresh() -> None:
    clock = FakeClock(NOW - 59)
    seen = SeenInMemory(clock=clock)
    verify(seen=seen, clock=clock)
    clock.now += 358
    assert refusal(seen=seen, clock=clock).reason == "replayed"


def test_what_is_refused_is_not_remembered() -> None:
    seen = SeenInMemory()
    refusal(BODY, sign(b"other"), seen=seen)
    refusal(BODY, seen=seen, clock=FakeClock(NOW + 1000))
    assert len(seen) == 0


def test_without_an_id_the_body_is_what_a_delivery_is_known_by() -> None:
    clock = FakeClock(NOW)
    seen = SeenInMemory(clock=clock)
    for webhook_id in (..., "", 7):
        for tag in ("a", "b"):
            body = delivery(NOW, webhookId=webhook_id, tags=[tag])
            event = verify(body, seen=seen)
            assert refusal(body, seen=seen).reason == "replayed"
            seen.forget(event.delivery)
            assert verify(body, seen=seen).tags == [tag]


def test_seen_that_must_be_awaited_is_told() -> None:
    class Later:
        def add(self, delivery: str, seconds: float) -> Any:
            return None

    with pytest.raises(UsageError, match="True or False"):
        verify(seen=Later())


def test_cryptography_is_an_extra() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from leadconnector_async.webhooks import verify_webhook\n"
        "from leadconnector_async import ConfigurationError\n"
        "try: verify_webhook(b'{}', {'x-ghl-signature': 'AAAA'})\n"
        "except ConfigurationError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == 'webhooks need the package cryptography: pip install "leadconnector-async[webhooks]"\n'
    code = "import sys, leadconnector_async.webhooks; print([n for n in sys.modules if n.startswith('cryptography')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("app_id", ["other", "", None, 7, ...])
def test_a_delivery_for_another_app_is_refused(app_id: object) -> None:
    """The vendor signs the deliveries of all apps with one key; what names no app may be for any."""
    body = delivery(NOW, appId=app_id)
    assert verify(body).id == "C1"
    assert refusal(body, app_id="ours").reason == "other_app"
    assert verify(delivery(NOW, appId="ours"), app_id="ours").app_id == "ours"


@pytest.mark.parametrize("location_id", ["other", "", None, ...])
def test_a_delivery_about_another_location_is_refused(location_id: object) -> None:
    body = delivery(NOW, locationId=location_id)
    assert refusal(body, locations={"L1", "L2"}).reason == "other_location"
    assert refusal(body, locations=()).reason == "other_location"
    assert verify(BODY, locations={"L1", "L2"}).location_id == "L1"


def test_what_another_app_was_sent_is_not_remembered() -> None:
    seen = SeenInMemory(clock=CLOCK)
    assert refusal(BODY, app_id="ours", seen=seen).reason == "other_app"
    assert len(seen) == 0


def test_the_older_signature_is_taken_only_on_request() -> None:
    """The vendor no longer sends it."""
    keys = WebhookKeys(ed25519=KEYS.ed25519)
    assert keys.rsa == ()
    assert refusal(BODY, sign(BODY, OLDER), keys=keys).reason == "bad_signature"
    assert verify(BODY, sign(BODY, OLDER), keys=WebhookKeys(rsa=KEYS.rsa)).id == "C1"
