"""Settings from the environment: what is set but empty is refused, wherever it is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async.cluster import ClientOptions
from leadconnector_async.environment import TOKEN, VARIABLES, read_variable

PACKAGE = Path(__file__).parent.parent / "leadconnector_async"
GOOD = {
    "LEADCONNECTOR_TOKEN": "pit-1",
    "LEADCONNECTOR_LOCATION_ID": "L",
    "LEADCONNECTOR_BASE_URL": "https://crm.example.com",
    "LEADCONNECTOR_API_VERSION": "v3",
}


@pytest.mark.parametrize("empty", ["", " ", "\t\r\n"])
@pytest.mark.parametrize("name", GOOD)
def test_from_env_refuses_what_is_set_but_empty(name: str, empty: str) -> None:
    sentence = f"^{name} is set but empty: unset it, or give it a value$"
    with pytest.raises(ConfigurationError, match=sentence):
        LeadConnector.from_env({**GOOD, name: empty})
    if name != TOKEN:  # which is found on the workers
        with pytest.raises(ConfigurationError, match=sentence):
            ClientOptions.from_env({**GOOD, name: empty})


@pytest.mark.parametrize("name", GOOD)
def test_an_argument_wins_over_a_variable(name: str) -> None:
    option = name.removeprefix("LEADCONNECTOR_").lower()
    client = LeadConnector.from_env({**GOOD, name: ""}, **{option: GOOD[name]})
    assert (client.location_id, client.host, client.api_version) == ("L", "crm.example.com", "v3")


def test_a_worker_refuses_an_empty_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, " ")
    with pytest.raises(ConfigurationError, match="LEADCONNECTOR_TOKEN is set but empty"):
        ClientOptions().find_token()


def test_a_value_is_trimmed_and_what_is_not_set_is_none() -> None:
    assert read_variable(TOKEN, {TOKEN: " x\n"}) == "x"
    assert read_variable(TOKEN, {}) is None


def test_all_variables_are_in_the_list_and_read_in_one_place() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    named = {name for text in texts.values() for name in re.findall(r"LEADCONNECTOR_[A-Z_]*[A-Z]", text)}
    assert named == set(VARIABLES)
    readers = {name for name, text in texts.items() if "os.environ" in text or "getenv" in text}
    assert readers == {"environment.py", "cli/orders.py"}  # the latter for a variable that the user names
