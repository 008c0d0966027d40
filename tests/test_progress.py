"""What an export shows of itself: on a terminal and in a notebook, and nowhere else."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import rich.console

import rnn_export
from rnn_export import exporter, progress
from rnn_export.bundle.bundle import Bundle
from rnn_export.models import RNNScratch
from rnn_export.progress import SILENT, Watch, watched
from rnn_export.verification.verify import VerificationReport
from tests.support.paths import ARTIFACTS

BUNDLE = ARTIFACTS / "rnn_scratch"


class Screen(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def terminal(*, forced: bool, screen: bool = True) -> rich.console.Console:
    file = Screen() if screen else io.StringIO()
    return rich.console.Console(file=file, force_terminal=forced, width=100, emoji=False)


def text_of(console: rich.console.Console) -> str:
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_terminal_shows_stages_and_the_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal(forced=True)
    monkeypatch.setattr(progress, "console", lambda: console)
    before = sys.stdout, sys.stderr
    with watched(None) as watch:
        watch.report("Verified [red]:factory:", 1, 2)
        assert (sys.stdout, sys.stderr) == before
        watch.say(["all :factory: [b]well[/b]"])
    assert "Verified [red]:factory:" in text_of(console)
    assert "all :factory: [b]well[/b]" in text_of(console)


def test_a_log_in_colours_has_the_last_lines_and_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal(forced=True, screen=False)
    monkeypatch.setattr(progress, "console", lambda: console)
    with watched(None) as watch:
        watch.report("Verified", 1, 2)
        watch.say(["all well"])
    assert text_of(console) == "all well\n"


@pytest.mark.parametrize(("asked", "forced"), [(None, False), (False, True), (False, False)])
def test_what_is_no_terminal_and_who_asks_for_silence_sees_nothing(
    asked: bool | None, forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal(forced=forced)
    monkeypatch.setattr(progress, "console", lambda: console)
    with watched(asked) as watch:
        watch.report("Verified", 1, 2)
        watch.say(["well"])
    assert text_of(console) == ""
    assert watch is SILENT


def test_a_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    with watched(lambda *event: told.append(event)) as watch:
        watch.report("Verified", 1, 2)
        watch.say(["well"])
    assert told == [("Verified", 1, 2)]


def test_a_notebook_shows_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data))
    display = ModuleType("IPython.display")
    display.display = lambda data, raw, display_id: (shown.append(data), handle)[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress, "console", lambda: SimpleNamespace(is_jupyter=True))
    with watched(None) as watch:
        watch.report("Verified <b>", 1, 2)
        watch.say(["well"])
    assert shown[0]["text/plain"] == "Verified <b> 1/2"
    assert '<progress value="1" max="2"></progress> Verified &lt;b&gt;' in shown[0]["text/html"]
    assert shown[-1]["text/plain"] == "well"


def test_an_export_ends_with_the_verdict_how_to_run_it_and_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    said: list[str] = []

    @contextmanager
    def watching(asked: object) -> Iterator[Watch]:
        assert asked is None
        yield Watch(lambda *_: None, said.extend)

    monkeypatch.setattr(exporter, "watched", watching)
    manifest = Bundle.open(BUNDLE).manifest
    monkeypatch.setattr(exporter, "inspect_export", lambda *_, **__: None)
    monkeypatch.setattr(exporter, "_export", lambda *_, **__: manifest)
    rnn_export.export(RNNScratch(2, 3, 1), None, tmp_path / "net")
    left_out, verdict, run, page = said
    assert left_out.startswith("warning: left out: variants/operator.onnx in onnxruntime: ")
    assert verdict == f"{tmp_path}/net: every file agrees with eager PyTorch"
    assert run == (
        f'run it: rnn_export.load("{tmp_path}/net", runtime="c"); '
        f"which file is the fastest here: rnn-export bench {tmp_path}/net"
    )
    assert page == f"report: {tmp_path}/net/report.html"


def test_reprs_are_three_lines_and_tables_in_a_notebook() -> None:
    bundle, runner = Bundle.open(BUNDLE), rnn_export.load(BUNDLE)
    report = VerificationReport.stored(bundle.manifest)
    for one in (bundle, runner, report):
        assert len(repr(one).splitlines()) == 3, repr(one)
        assert one._repr_html_().count("<table") == 1
        assert "float32 [time, batch, 16]" in one._repr_html_() or one is report
    assert repr(report).startswith(
        "VerificationReport of 'rnn_scratch': every file agrees with eager PyTorch"
    )
    assert repr(runner).startswith(f"Runner of {BUNDLE}/model.onnx in onnxruntime")
    assert "outputs, state = runner(inputs, state)" in repr(runner)
    assert report._repr_html_().count("<tr") == 1 + len(report.checks)
    assert "model.onnx" in report._repr_html_()


def test_what_others_wrote_is_no_html() -> None:
    from dataclasses import replace

    bundle = Bundle.open(BUNDLE)
    named = replace(bundle, manifest=replace(bundle.manifest, name="<script>"))
    assert "<script>" not in named._repr_html_()
