"""The pytest plugin, in test runs of its own: in every style of test, with every warning an error, and in parallel."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
    from leadconnector_async.testing import RunningSandbox  # imported before it becomes a plugin

    pytest_plugins = ["leadconnector_async.testing"]
"""
STYLES = """
    import asyncio
    import pytest

    async def sign_up(sandbox):
        assert sandbox.contacts() == []
        async with sandbox.client() as lc:
            await lc.contacts.upsert({"email": "ann@example.com"})
        assert [contact.email for contact in sandbox.contacts()] == ["ann@example.com"]

    def test_sync(leadconnector_sandbox):
        asyncio.run(sign_up(leadconnector_sandbox))

    @pytest.mark.asyncio
    async def test_asyncio(leadconnector_sandbox):
        await sign_up(leadconnector_sandbox)

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_anyio(leadconnector_sandbox, anyio_backend):
        await sign_up(leadconnector_sandbox)
"""
LEAKS = """
    import gc, os, threading
    import pytest

    OPEN = {}

    @pytest.mark.parametrize("number", range(10))
    async def test_use(leadconnector_sandbox, number):
        OPEN[number] = len(os.listdir("/dev/fd")), threading.active_count()
        async with leadconnector_sandbox.client() as lc:
            await lc.contacts.upsert({"email": "ann@example.com"})

    def test_nothing_is_left():
        gc.collect()
        assert OPEN[1] == OPEN[9]
        assert threading.active_count() == 1
"""
STRICT = ("-W", "error", "--strict-markers", "--strict-config", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def tests(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_it_serves_every_style_of_test(tests: pytest.Pytester, mode: str) -> None:
    tests.makepyfile(STYLES)
    # pytest-asyncio's auto mode takes all async tests, so that anyio's is left to the strict one
    chosen = () if mode == "strict" else ("-k", "not anyio")
    ended = tests.runpytest_inprocess(*STRICT, "-o", f"asyncio_mode={mode}", *chosen)
    ended.assert_outcomes(passed=3 if mode == "strict" else 2, deselected=0 if mode == "strict" else 1)


def test_it_leaves_no_thread_and_no_socket(tests: pytest.Pytester) -> None:
    tests.makepyfile(LEAKS)
    tests.runpytest_subprocess(*STRICT, "-o", "asyncio_mode=auto").assert_outcomes(passed=11)


def test_it_works_in_parallel(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_alone(leadconnector_sandbox, number):
            leadconnector_sandbox.seed([{"email": f"{number}@example.com"}])
            assert [contact.email for contact in leadconnector_sandbox.contacts()] == [f"{number}@example.com"]
        """
    )
    tests.runpytest_subprocess(*STRICT, "-n", "2").assert_outcomes(passed=20)


def test_the_marker_gives_options_and_the_nearest_wins(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.leadconnector_sandbox(locations=["L1"], token="t-1")

        @pytest.mark.leadconnector_sandbox(token="t-2")
        def test_both(leadconnector_sandbox):
            assert (leadconnector_sandbox.location_id, leadconnector_sandbox.token) == ("L1", "t-2")

        @pytest.mark.leadconnector_sandbox(profile="best")
        def test_wrong_value(leadconnector_sandbox):
            pass

        @pytest.mark.leadconnector_sandbox("trial")
        def test_not_by_name(leadconnector_sandbox):
            pass
        """
    )
    ended = tests.runpytest_inprocess(*STRICT)
    ended.assert_outcomes(passed=1, errors=2)
    ended.stdout.fnmatch_lines_random(["*profile is 'best'*", "*takes options by name*"])


def test_a_test_module_may_name_it_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        pytest_plugins = ["leadconnector_async.testing"]

        def test_here(leadconnector_sandbox):
            assert leadconnector_sandbox.url.startswith("http://127.0.0.1:")
        """
    )
    pytester.runpytest_inprocess(*STRICT).assert_outcomes(passed=1)


def test_without_being_asked_for_it_is_not_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        import pytest

        def test_here(request):
            with pytest.raises(pytest.FixtureLookupError):
                request.getfixturevalue("leadconnector_sandbox")
            assert "leadconnector_async" not in sys.modules
        """
    )
    pytester.runpytest_subprocess(*STRICT).assert_outcomes(passed=1)


def test_elsewhere_it_needs_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None\nfrom leadconnector_async.testing import run_sandbox\n"
    code += "with run_sandbox() as sandbox: print(sandbox.contacts())"
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
