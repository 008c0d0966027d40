"""A test that needs a tool is skipped without it, and fails where ``CI`` is set."""

from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "failed")])
def test_a_tool_that_is_missing_skips_and_fails_in_ci(
    ci: str, outcome: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest((Path(__file__).with_name("conftest.py")).read_text())
    pytester.syspathinsert(ROOT)
    pytester.makepyfile(
        "import pytest\n@pytest.mark.needs('sh', 'no-such-tool')\ndef test_it():\n    raise OSError\n"
    )
    done = pytester.inline_run("-p", "no:cacheprovider")
    [report] = [each for each in done.getreports("pytest_runtest_logreport") if each.when == "setup"]
    assert report.outcome == outcome
    assert "not installed: no-such-tool" in str(report.longrepr)
