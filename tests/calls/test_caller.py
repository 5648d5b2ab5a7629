"""The path of a call: how few steps it takes, and what comes of a row whose location is paused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import pytest

import leadconnector_async
from leadconnector_async import LeadConnector
from leadconnector_async.calls.call import PAUSED, Call, Ending
from leadconnector_async.models import ContactUpsert
from leadconnector_async.protocol import build_upsert
from tests.conftest import LOCATION

PACKAGE = str(Path(leadconnector_async.__file__).parent)


async def test_five_frames_of_ours_stand_between_an_upsert_and_aiohttp(
    client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, seen = aiohttp.ClientSession._request, list[str]()

    async def sent(*arguments: Any, **options: Any) -> Any:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                seen.append(frame.f_code.co_name)
            frame = frame.f_back
        return await send(*arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", sent)
    await client.contacts.upsert({"email": "a@example.com"})
    assert seen == ["exchange", "_try", "send_row", "send_upsert", "upsert"]


async def test_a_row_whose_location_is_paused_comes_back_and_a_single_call_waits(client: LeadConnector) -> None:
    contact = ContactUpsert(email="a@example.com", location_id=LOCATION)
    await client.contacts.upsert(contact)
    client.window(LOCATION).pause(30.0)
    row = Call(build_upsert(contact, client.api_version), is_bulk=True)
    assert await client.send_row(row) is PAUSED
    assert (row.tries.count, row.tries.ending) == (0, Ending.NOT_SENT)
    began = client.clock.monotonic()
    assert not (await client.contacts.upsert(contact)).new
    assert client.clock.monotonic() - began == 30.0
