"""For tests of your own code: a sandbox in a thread, so that any kind of test can use it, and a pytest fixture.

In pytest: `pytest_plugins = ["leadconnector_async.testing"]` in the topmost conftest.py gives the fixture
`leadconnector_sandbox` and the marker of that name. Elsewhere: `with run_sandbox() as sandbox:`.

Uses the client and `sandbox`. Begin with `running.py`; `fixtures.py` is for pytest.

pytest would warn where this was imported before it became a plugin, but it may: PYTEST_DONT_REWRITE.
"""

from typing import TYPE_CHECKING

from .running import RunningSandbox, run_sandbox

if TYPE_CHECKING:
    import pytest

__all__ = ["RunningSandbox", "run_sandbox"]


def pytest_configure(config: "pytest.Config") -> None:
    """Register the fixture; only here, so that this module needs no pytest elsewhere."""
    from . import fixtures

    config.addinivalue_line(
        "markers", "leadconnector_sandbox(**options): options of the Sandbox that `leadconnector_sandbox` is to be"
    )
    config.pluginmanager.register(fixtures, "leadconnector_async.testing.fixtures")
