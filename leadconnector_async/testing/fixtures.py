"""The pytest fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .running import RunningSandbox, run_sandbox


@pytest.fixture
def leadconnector_sandbox(request: pytest.FixtureRequest) -> Iterator[RunningSandbox]:
    """A fresh sandbox for this test, in a thread of its own; synchronous, so that tests of any kind can use it.

    `@pytest.mark.leadconnector_sandbox(profile="trial")` gives it options of `leadconnector_async.sandbox.Sandbox`;
    those of a test win over those of its class and module.
    """
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("leadconnector_sandbox"):
        if marker.args:
            raise pytest.UsageError("the marker leadconnector_sandbox takes options by name, such as profile='trial'")
        options = {**marker.kwargs, **options}
    with run_sandbox(**options) as sandbox:
        yield sandbox
