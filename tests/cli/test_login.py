"""`leadconnector login`, `logout` and `whoami`, and loads with a login."""

from __future__ import annotations

import html
import json
import re
import socket
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest

from leadconnector_async.cli import accounts
from leadconnector_async.cli.accounts import DEFAULT_REDIRECT
from leadconnector_async.private_file import write_private
from leadconnector_async.sandbox.logins import CLIENT_ID, CLIENT_SECRET, COMPANY_ID
from tests.cli.conftest import Run, invoke, people
from tests.waiting import PATIENCE

L = "ve9EPM428h8vShlRW1KT"
Serve = Callable[..., str]
Click = Callable[..., str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:  # type: ignore[override]
        return None


def click(url: str, account: str) -> str:
    """Open the page, click a button, and return where the browser is sent."""
    with urllib.request.urlopen(_request(url), timeout=PATIENCE) as page:
        shown = page.read().decode()
    assert f'name="account" value="{account}"' in shown
    data = urlencode({"account": account}).encode()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(_NoRedirect).open(_request(url, data), timeout=PATIENCE)
    answer = caught.value
    answer.close()
    assert answer.code == 302
    return str(answer.headers["Location"])


def leads_to(page: str) -> str:
    """Return where the page leads that the browser is sent to; it is for this user alone."""
    path = Path(unquote(urlsplit(page).path))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    found = re.search('href="(.*?)"', path.read_text())
    assert found is not None
    return html.unescape(found[1])


def _request(url: str, data: bytes | None = None) -> urllib.request.Request:
    return urllib.request.Request(url, data, {"User-Agent": "a browser"})


@pytest.fixture
def url(served: Serve, monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    url = served(seed=1)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_SECRET", CLIENT_SECRET)
    return url


Login = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paste(url: str) -> Login:
    """Log in with `--paste`."""

    def login(
        *arguments: str, account: str = L, spoil: Callable[[str], str] = str, check: bool = True
    ) -> tuple[int, str, str]:
        asked = ""

        def answer(told: str) -> str:
            nonlocal asked
            asked = told
            return spoil(click(told.splitlines()[1].strip(), account))

        code, out, err = invoke("login", "--paste", *arguments, answer=answer)
        if check:
            assert code == 0, err
        return code, out, err.removeprefix(asked)

    return login


def test_a_login_is_pasted_used_and_forgotten(run: Run, paste: Login, tmp_path: Path, url: str) -> None:
    _, out, _ = paste()
    kept = tmp_path / "config" / "leadconnector-async" / "logins.sqlite3"
    assert out == f"Logged in: location {L}. Kept in {kept}.\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    code, out, err = run("whoami")
    assert (code, err) == (0, "")
    assert f"location {L}, at {url}: taken." in out
    assert "scopes: contacts.readonly contacts.write" in out
    assert re.search(r"access token: valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC, renewed before then", out)
    code, out, _ = run("upsert", people(tmp_path / "a.csv", 3))
    assert (code, "3 created" in out) == (0, True)
    assert re.search(r"quota: [\d,]+ calls left today", run("whoami")[1])
    code, out, _ = run("logout")
    assert (code, f"Logged out: {L}. Its access token stays valid until" in out) == (0, True)
    assert "stays installed until you remove it" in out
    code, out, err = run("whoami")
    assert (code, out) == (2, "")
    assert "you are not logged in; log in with: leadconnector login" in err


def test_a_login_as_an_agency(run: Run, paste: Login, tmp_path: Path) -> None:
    _, out, _ = paste("--agency", account="agency")
    assert f"Logged in: agency {COMPANY_ID}." in out
    people(tmp_path / "a.csv", 1)
    code, _, err = run("upsert", tmp_path / "a.csv")
    assert (code, "there is no location" in err) == (2, True)
    assert run("upsert", tmp_path / "a.csv", "--location", "L7", "--out", "out")[0] == 0
    _, out, _ = run("whoami")
    assert f"agency {COMPANY_ID}" in out
    assert "location: L7 Sandbox L7" in out


def test_the_code_alone_can_be_pasted(paste: Login) -> None:
    assert paste(spoil=lambda address: parse_qs(urlsplit(address).query)["code"][0])[0] == 0


def test_a_file_of_ones_own_and_the_secret_in_a_file(
    run: Run, paste: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "secret", f"{CLIENT_SECRET}\n")
    monkeypatch.delenv("LEADCONNECTOR_CLIENT_SECRET")
    options = ["--store", "mine.sqlite3", "--client-secret-file", "secret"]
    paste(*options)
    assert not (tmp_path / "config").exists()
    assert run("whoami", *options)[0] == 0
    (tmp_path / "bad.csv").write_text("email,dnd\na@example.com,maybe\n")
    code, out, _ = run("upsert", "bad.csv", *options)
    assert (code, " ".join(options) in out) == (1, True)  # the next command has them, too
    code, _, err = run("whoami", "--store", "mine.sqlite3")
    assert (code, "there is no client secret" in err) == (2, True)
    assert run("logout", "--store", "mine.sqlite3")[0] == 0
    assert "you are not logged in" in run("whoami", *options)[2]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda address: address.replace("state=", "state=x"), "its state differs"),
        (lambda address: address.split("&state")[0], "its state differs"),
        (lambda address: "nonsense", "does not take this code"),
        (lambda address: "", "sent no code"),
    ],
)
def test_what_is_pasted_is_wrong(paste: Login, spoil: Callable[[str], str], sentence: str) -> None:
    code, out, err = paste(spoil=spoil, check=False)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "log in again" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "missing", "sentence"),
    [
        (["login"], "CLIENT_ID", "there is no client id"),
        (["login"], "CLIENT_SECRET", "there is no client secret"),
        (["login", "--client-secret-file", "gone"], "CLIENT_SECRET", "--client-secret-file gone: cannot be read"),
        (["login", "--redirect-uri", "https://example.com/cb"], "", "paste the code instead (--paste)"),
        (["login", "--redirect-uri", "cb", "--paste"], "", "is not an address"),
        (["login", "--store", "gone/logins"], "", "gone/logins: cannot be made"),
        (["login", "--store", "open"], "", "others can read it"),
        (["whoami"], "", "you are not logged in"),
        (["whoami", "--store", "empty"], "", "you are not logged in"),
        (["logout"], "", "you are not logged in"),
        (["upsert", "a.csv"], "", "there is no token: set LEADCONNECTOR_TOKEN"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    missing: str,
    sentence: str,
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.delenv(f"LEADCONNECTOR_{missing}", raising=False)
    people(tmp_path / "a.csv", 1)
    for name, mode in (("open", 0o644), ("empty", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("leadconnector: ")
    assert err.count("\n") == 1
    assert CLIENT_SECRET not in err


def test_a_store_that_is_damaged(run: Run, paste: Login, tmp_path: Path) -> None:
    paste("--store", "mine")
    with closing(sqlite3.connect(tmp_path / "mine")) as db, db:
        db.execute("UPDATE logins SET value = x'7b'")
    code, _, err = run("whoami", "--store", "mine")
    assert (code, "is damaged; log in with: leadconnector login" in err) == (2, True)
    (tmp_path / "mine").write_bytes(b"\0" * 5000)
    code, _, err = run("whoami", "--store", "mine")
    assert (code, "is no store of tokens, or is damaged" in err) == (2, True)


def test_the_browser_brings_the_code(url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the user sees it: the command waits, the page is clicked, the browser comes back to this machine."""
    redirect = f"http://localhost:{_free_port()}/callback"
    pages: list[str] = []
    answers: list[tuple[int, str]] = []

    def get(address: str) -> None:
        try:
            with urllib.request.urlopen(_request(address), timeout=PATIENCE) as answer:
                answers.append((answer.status, answer.read().decode()))
        except urllib.error.HTTPError as error:
            answers.append((error.code, error.read().decode()))
            error.close()

    def browse(page: str) -> bool:
        pages.append(page)

        def visit() -> None:
            back = click(page, L)
            get(back.replace("state=", "state=x"))  # somebody else's
            get(back.replace("/callback", "/elsewhere"))
            get(back)

        thread = threading.Thread(target=visit)
        thread.start()
        threads.append(thread)
        return True

    threads: list[threading.Thread] = []
    monkeypatch.setattr(accounts, "_open_browser", lambda page: browse(leads_to(page)))
    code, out, err = run("login", "--redirect-uri", redirect)
    for thread in threads:
        thread.join()
    assert (code, f"Logged in: location {L}" in out) == (0, True)
    assert parse_qs(urlsplit(pages[0]).query)["redirect_uri"] == [redirect]
    assert [status for status, _ in answers] == [400, 404, 200]
    assert "You can close this page" in answers[2][1]
    assert CLIENT_SECRET not in out + err


@pytest.mark.parametrize("reason", ["access_denied", "<script>alert(1)</script>"])
def test_the_user_says_no(url: str, run: Run, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    redirect = f"http://127.0.0.1:{_free_port()}/callback"
    threads: list[threading.Thread] = []
    pages: list[str] = []

    def browse(page: str) -> bool:
        state = parse_qs(urlsplit(page).query)["state"][0]
        back = f"{redirect}?{urlencode({'error': reason, 'state': state})}"
        if reason == "access_denied":
            assert click(page, "cancel") == back

        def visit() -> None:
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(_request(back), timeout=PATIENCE)
            pages.append(caught.value.read().decode())
            caught.value.close()

        threads.append(threading.Thread(target=visit))
        threads[-1].start()
        return True

    monkeypatch.setattr(accounts, "_open_browser", lambda page: browse(leads_to(page)))
    code, _, err = run("login", "--redirect-uri", redirect)
    threads[0].join()
    assert (code, f"the login was refused on the page ({reason}); log in again" in err) == (2, True)
    assert "<script" not in pages[0]


def test_the_browser_is_given_neither_the_state_nor_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others can read its command line, and it hands its environment on to whatever it starts."""
    script = tmp_path / "browser.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps([sys.argv[2:], dict(os.environ)]))"
    )
    secrets = ("LEADCONNECTOR_CLIENT_SECRET", "LEADCONNECTOR_TOKEN", "MY_APP_SECRET", "PGPASSWORD", "GITHUB_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "very-secret")
    seen = tmp_path / "seen.json"
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} {seen} %s")
    url = "https://example.com/oauth?state=the-state&scope=contacts.write"
    with accounts._page_leading_to(url) as page:
        accounts._open_browser(page)
        assert leads_to(page) == url
    arguments, environ = json.loads(seen.read_text())
    assert arguments == [page]
    assert "the-state" not in page
    assert not Path(urlsplit(page).path).exists()
    assert not environ.keys() & set(secrets)
    assert environ["PATH"]


def test_another_account_than_the_one_meant_is_not_kept(paste: Login, run: Run) -> None:
    code, out, err = paste("--account", "elsewhere", check=False)
    assert (code, out) == (2, "")
    assert f"the page logged in the location {L} instead, so nothing was saved" in err
    assert run("whoami")[0] == 2
    assert paste("--account", L)[0] == 0


def test_a_port_that_is_in_use(url: str, run: Run) -> None:
    redirect = f"http://127.0.0.1:{urlsplit(url).port}/callback"
    code, _, err = run("login", "--redirect-uri", redirect)
    assert (code, "cannot be used" in err) == (2, True)


def test_nobody_comes_back(url: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadconnector_async.cli.accounts._WAIT_SECONDS", 0.05)
    code, _, err = run("login", "--no-browser", "--redirect-uri", f"http://127.0.0.1:{_free_port()}/callback")
    assert (code, "the login page sent no answer" in err) == (2, True)


def test_whoami_with_a_plain_token(run: Run, served: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served())
    write_private(tmp_path / "token", "sandbox\n")
    code, out, _ = run("whoami", "--token-file", "token")
    assert (code, "A token from outside `login`" in out) == (0, True)
    assert "does not say which location the token is for" in out
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    code, out, _ = run("whoami", "--location", "L7")
    assert (code, "location: L7" in out) == (0, True)
    assert re.search(r"quota: [\d,]+ calls left today", out)
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "wrong")
    code, out, err = run("whoami")
    assert (code, out, "401: Invalid JWT" in err) == (2, "", True)


def test_a_login_goes_to_no_other_service(
    run: Run, paste: Login, served: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paste()
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served())
    code, _, err = run("whoami")
    assert (code, "and is not sent to http://127.0.0.1" in err) == (2, True)
    monkeypatch.delenv("LEADCONNECTOR_BASE_URL")
    assert run("whoami")[0] == 0  # at the service of the login


def test_no_secret_is_an_argument(run: Run) -> None:
    for command in ("login", "logout", "whoami", "upsert"):
        names = re.findall(r"--([\w-]+)", re.sub(r"\x1b\[[\d;]*m", "", run(command, "--help")[1]))
        assert "store" in names
        assert not {"token", "client-secret", "secret", "code"} & set(names)
    assert DEFAULT_REDIRECT.startswith("http://localhost:")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
