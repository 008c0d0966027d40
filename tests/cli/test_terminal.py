"""What is printed reads everywhere: text of others is text, and no terminal is too narrow or too plain."""

import io
import sys
from collections.abc import Sequence

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rnn_export.bundle.bundle import Bundle
from rnn_export.cli.main import app, main
from rnn_export.cli.terminal import check_table, escape
from rnn_export.verification.verify import VerificationReport
from tests.support.paths import ARTIFACTS

BUNDLE = ARTIFACTS / "rnn_scratch"
runner = CliRunner()


def test_a_text_of_others_is_no_markup_and_no_command() -> None:
    assert escape("[red]\x1b[2J\x07ü\n") == "\\[red]\ufffd[2J\ufffdü\n"


@pytest.mark.parametrize(
    "arguments", [["inspect", str(BUNDLE)], ["inspect", str(BUNDLE), "--passes"], ["--help"]]
)
def test_a_terminal_of_ascii_can_be_written_to(
    arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr(sys, "argv", ["rnn-export", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    written.flush()
    text = written.buffer.getvalue().decode("ascii")
    assert ended.value.code == 0
    assert ("+ passed" in text) == (arguments[-1] == str(BUNDLE))
    assert "\\" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_and_no_verdict_is_cut(width: int) -> None:
    report = VerificationReport.stored(Bundle.open(BUNDLE).manifest)
    console = Console(file=io.StringIO(), width=width)
    console.print(check_table(report))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    assert "…" not in shown
    assert shown.count("✓ passed") == len(report.checks)
    for check in report.checks:
        assert check.worst is not None
        assert f"{check.worst.error:.1e}" in shown


def test_a_page_that_no_browser_opens_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda page: False)
    monkeypatch.setattr("rnn_export.report.latency.make_report", lambda *_, **__: BUNDLE / "report.html")
    done = runner.invoke(app, ["report", str(BUNDLE), "--open"])
    assert done.exit_code == 0
    assert "no browser was found: open the page in one yourself" in done.stdout
