"""Bad arguments and bad files are one sentence each, never a traceback, and nothing is sent."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

import leadconnector_async
from leadconnector_async import ConfigurationError, ConnectFailedError, LeadConnector, OAuthApp, RetryPolicy
from leadconnector_async.calls.transport import check_base_url
from leadconnector_async.migration.mapping.directories import read_owners
from leadconnector_async.migration.mapping.file import read_mapping_file
from leadconnector_async.sandbox import Sandbox

WRONG: list[dict[str, Any]] = [
    *({"token": token} for token in (None, 7, b"pit-x", ["pit-x"], "", " ", "a b", "p\u200bit")),
    *({"location_id": value} for value in (7, b"L")),
    *({"base_url": value} for value in (None, 7)),
    *({"api_version": value} for value in (None, 7, "2020-01-01")),
    *({"rate_limit": value} for value in (5, "100/10")),
    *({"retry": value} for value in (None, 3)),
    *({"timeouts": value} for value in (None, 3)),
    *({"concurrency": value} for value in (None, "8", 0, -1)),
    *({"max_body_bytes": value} for value in (None, "x", 0)),
    *({name: value} for name in ("limits", "session", "clock") for value in (3, "x")),
    *(
        {"proxy": value}
        for value in (3, "", "proxy:3128", "socks5://proxy:1", "http://", "http://proxy/?a", "http://[")
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_an_argument_of_another_kind_is_one_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LeadConnector(**{"token": "pit-x", **wrong})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "redirect_uri"])
@pytest.mark.parametrize("value", [None, 7, b"x", ""])
def test_an_app_of_other_kinds_is_one_sentence(name: str, value: Any) -> None:
    options: dict[str, Any] = {
        "client_id": "c",
        "client_secret": "s",
        "redirect_uri": "https://x.example/",
        name: value,
    }
    with pytest.raises(ConfigurationError):
        OAuthApp(options.pop("client_id"), options.pop("client_secret"), **options)


def classes() -> Iterator[type]:
    for found in pkgutil.walk_packages(leadconnector_async.__path__, "leadconnector_async."):
        if not found.name.endswith("__main__"):
            for one in vars(importlib.import_module(found.name)).values():
                is_own = inspect.isclass(one) and one.__module__ == found.name and "__repr__" in vars(one)
                if is_own and not issubclass(one, msgspec.Struct | tuple):  # those are whole, or not there at all
                    yield one


CLASSES = sorted(set(classes()), key=lambda one: one.__qualname__)


@pytest.mark.parametrize("made", CLASSES, ids=lambda one: one.__qualname__)
def test_whatever_could_not_be_made_can_be_printed(made: Any) -> None:
    """A debugger, a log and an error page print the objects of a frame, also where their making failed."""
    assert isinstance(repr(made.__new__(made)), str)


# ---------------------------------------------------------------------------------------------- addresses

SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    "url",
    [
        f"https://:{SECRET}@host",
        f"https://{SECRET}@host",
        f"https://user:{SECRET}@host/",
        f"https://user:{SECRET} @host",
        f"https:/user:{SECRET}@host",
        f"//user:{SECRET}@host",
        f"{SECRET}",
        f"pit-{SECRET}",
        "https://ho st",
        "https://ho\tst",
        "https://host;x",
        "https://host/;x",
        "https://host/a b",
        "https://host/%2e%2e",
        "https://host\\evil.example",
        "https://services.leadconnectorhq.c\u043em",
        "https://services\u3002leadconnectorhq.com",
        "https://\uff53ervices.com",
        "https://a\u200bb.com",
        "https://host:99999",
        "https://[::1",
        "https://",
        "ftp://host",
        "http://10.0.0.5",
        "https://host?a=b",
        "https://host#a",
    ],
)
def test_a_base_url_is_scheme_host_and_path_in_plain_letters(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_base_url(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://services.leadconnectorhq.com",
        "https://host:8443/a/b",
        "http://127.0.0.1:8787",
        "http://[::1]:1",
        "https://xn--bcher-kva.example",
    ],
)
def test_other_addresses_are_taken(url: str) -> None:
    assert check_base_url(f" {url}/ ") == url


# ---------------------------------------------------------------------------------------------- files

DEEP = [
    "a = " + "[" * 5_000 + "]" * 5_000,
    "a = " + "{b=" * 3_000 + "1" + "}" * 3_000,
    ".".join(["a"] * 5_000) + " = 1",
    "a = " + "9" * 5_000,
    'a = "x\0"',
    "a = 1979-99-99",
]


@pytest.mark.parametrize("line", DEEP, ids=lambda line: line[:12])
def test_a_mapping_of_any_content_is_one_sentence(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"[columns]\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"mapping file .*a\.toml: "):
        read_mapping_file(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev", "nowhere"])
def test_a_device_is_no_settings(path: str) -> None:
    if path != "nowhere" and not Path(path).exists():
        pytest.skip("there is none here")
    for read in (read_mapping_file, read_owners):
        with pytest.raises(ConfigurationError):
            read(Path(path))


# ---------------------------------------------------------------------------------------------- proxies


async def test_a_call_goes_through_the_proxy_that_was_named() -> None:
    """The proxy is asked for a tunnel: it sees the host, its own password, and nothing of the call."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = f"http://user:{SECRET}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    retry = RetryPolicy(max_attempts=1)
    async with LeadConnector("pit-x", location_id="L", proxy=proxy, retry=retry) as client:
        with pytest.raises(ConnectFailedError, match="the proxy answered 407") as caught:
            await client.contacts.get("id")
        assert SECRET not in f"{client!r} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert seen[0].startswith(b"CONNECT services.leadconnectorhq.com:443 ")
    assert b"Proxy-Authorization: Basic" in seen[0]
    assert b"pit-x" not in seen[0]
    server.close()


async def test_this_machine_is_called_without_the_proxy() -> None:
    async with (
        Sandbox() as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L", proxy="http://127.0.0.1:9") as client,
    ):
        assert (await client.contacts.upsert({"email": "a@example.com"})).new


async def test_a_proxy_of_the_environment_never_sees_a_plain_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of the caller's may read it there, and a sandbox is called without encryption."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    async with Sandbox() as sandbox, aiohttp.ClientSession(trust_env=True) as session:
        client = LeadConnector("sandbox", base_url=sandbox.url, location_id="L", session=session)
        with pytest.raises(ConfigurationError, match="NO_PROXY"):
            await client.__aenter__()
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        async with LeadConnector("sandbox", base_url=sandbox.url, location_id="L", session=session) as other:
            assert (await other.contacts.upsert({"email": "a@example.com"})).new
        with pytest.raises(ConfigurationError, match="leave out `proxy`"):
            LeadConnector("sandbox", session=session, proxy="http://127.0.0.1:9")
