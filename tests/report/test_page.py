"""The report a person looks at: what stands in it, that it is safe, and how it gets into a bundle."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.cli.main import app
from rnn_export.errors import BundleError
from rnn_export.report import latency
from rnn_export.report.charts import errors
from rnn_export.report.latency import make_report
from rnn_export.report.page import ABOUT, PAGES, REPORT, render
from rnn_export.report.unchecked import gaps
from rnn_export.scaffolding.hosts import HOSTS
from rnn_export.verification.verify import NOT_CHECKED, VerificationReport
from tests.support.cases import CASES, ModelCase, each_case, the
from tests.support.exports import Exported
from tests.support.report_pages import TIME, Page, page_of, with_curves

SECTIONS = ["model", "files", "errors", "latency", "calls", "unchecked"]
HOSTILE = '<script>alert("x")</script>"\'&'
runner = CliRunner()


@each_case
def test_every_bundle_has_its_report(case: ModelCase, exported: Exported) -> None:
    bundle = exported(case)
    page = page_of(bundle)
    assert [found["aria-labelledby"] for found in page.all("section")] == SECTIONS
    assert {found["href"] for found in page.all("a")} == {f"#{name}" for name in SECTIONS}
    for spec in bundle.signature.arguments:
        assert spec.name in page.text["model"]
    for leaf in bundle.signature.returned_state:
        assert leaf.output_name in page.text["model"]
    for file in {*bundle.manifest.files} - PAGES:
        assert file in page.text["files"]
        assert file in ABOUT
    for check in VerificationReport.stored(bundle.manifest).checks:
        assert check.runtime in page.text["errors"]
    assert "Not measured" in page.text["latency"]
    reason = bundle.signature.not_streamable_because or ""
    assert reason in page.text["model"]
    assert reason in page.text["unchecked"]


def test_the_page_is_that_of_its_bundle(rnn: ModelCase, exported: Exported) -> None:
    """It holds nothing but what the bundle holds: no time, no name of a machine or folder."""
    bundle = exported(rnn)
    text = (bundle.folder / REPORT).read_text(encoding="utf-8")
    assert render(Bundle.open(bundle.folder)) == text
    assert str(bundle.folder.parent) not in text


@pytest.mark.parametrize("case", [CASES[1], CASES[10]], ids=lambda case: case.name)
def test_nothing_is_loaded_and_nothing_else_may_run(case: ModelCase, exported: Exported) -> None:
    page = page_of(exported(case))
    for _, found in page.tags:
        assert not {"src", "srcset", "style", "action", "data", "poster", "background"} & found.keys()
        assert all(value.startswith("#") for key, value in found.items() if key in ("href", "xlink:href"))
        assert not [key for key in found if key.startswith("on")]
        links = [target for value in found.values() for target in re.findall(r"url\((.)", value or "")]
        assert set(links) <= {"#"}
    assert not page.all("link")
    assert not re.search(r"url\(|@import|https?:", page.inline["style"] + page.inline["script"])
    [policy] = [found["content"] for found in page.all("meta") if "http-equiv" in found]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_what_a_bundle_says_of_itself_is_only_text(rnn: ModelCase, exported: Exported) -> None:
    bundle = exported(rnn)
    manifest = dataclasses.replace(
        bundle.manifest,
        name=HOSTILE,
        model={**bundle.manifest.model, "class": HOSTILE},
        metadata={HOSTILE: HOSTILE},
        verification={**bundle.manifest.verification, "left_out": [f"{HOSTILE}: {HOSTILE}"]},
        latency={
            "processor": HOSTILE,
            "versions": {HOSTILE: HOSTILE},
            "shapes": [{"time": 1, "batch": 1}],
            "rows": [
                {"file": HOSTILE, "runtime": HOSTILE, "microseconds": [1.0], "note": ""},
                {"file": HOSTILE, "runtime": HOSTILE, "microseconds": [], "note": HOSTILE},
            ],
        },
    )
    text = render(dataclasses.replace(bundle, manifest=manifest))
    assert text.count("<script") == 1
    page = Page(text)
    assert page.tags.count(("script", {})) == 1
    shown = "".join(page.text.values())
    assert shown.count(HOSTILE) >= 8
    assert json.dumps(HOSTILE)[1:-1] in page.programs["call.py"]


def test_errors_over_time_are_charted(rnn: ModelCase, exported: Exported) -> None:
    report = with_curves(VerificationReport.stored(exported(rnn).manifest), horizon=12)
    chart = errors(report)
    assert chart is not None
    assert {panel.runtime for panel in chart.panels} == {check.runtime for check in report.checks}
    assert sum(len(panel.series) for panel in chart.panels) == len(report.checks)
    assert all(panel.forbidden.endswith("Z") for panel in chart.panels)
    assert [row[0] for row in chart.table] == [str(step) for step in TIME]
    assert len(chart.heading) == len(chart.table[0]) == 3 + len(report.checks)
    last = chart.panels[0].series[0].path
    assert last.count("M") == 2, "where a number is missing the line has a gap"
    lower = max(tick.at for tick in chart.up)
    assert last.endswith(f" {lower:.1f}"), "an error of zero lies on the lower edge"
    left, right = chart.across[0].at, chart.across[-1].at
    assert chart.horizon == pytest.approx(left + (right - left) * 11 / 19)
    beyond = errors(with_curves(report, horizon=500))
    assert beyond is not None
    assert beyond.horizon is None


def test_without_errors_over_time_the_page_says_so(rnn: ModelCase, exported: Exported) -> None:
    stored = VerificationReport.stored(exported(rnn).manifest)
    if errors(stored) is None:
        assert "no errors over time" in page_of(exported(rnn)).text["errors"]
    else:
        assert page_of(exported(rnn)).all("path", class_="series")


def test_what_was_not_checked_is_said(exported: Exported) -> None:
    bundle = exported(the("rnn_float64"))
    stored = VerificationReport.stored(bundle.manifest)
    first, *rest = stored.checks
    unchecked = dataclasses.replace(first, verdict=NOT_CHECKED, detail="it is not installed")
    report = with_curves(dataclasses.replace(stored, checks=(unchecked, *rest)), horizon=40)
    said = {gap.what: gap.why for gap in gaps(bundle, report)}
    assert said[f"{first.file} in {first.runtime}"] == "Not checked: it is not installed."
    assert "float64" in said["model.c"]
    assert "after 40 time steps" in said["Agreement of runs longer than 40 time steps"]
    assert "GPUs and other accelerators" in said
    longest = max(stored.grid["time"])
    assert any(what.startswith(f"Runs longer than {longest} time steps") for what in said)
    plain = {
        gap.what
        for gap in gaps(exported(the("rnn")), VerificationReport.stored(exported(the("rnn")).manifest))
    }
    assert not {"Sequences cut in pieces, streaming", "The state after a call"} & plain
    alone = exported(the("outputs_alone"))
    assert {"Sequences cut in pieces, streaming", "The state after a call"} <= {
        gap.what for gap in gaps(alone, VerificationReport.stored(alone.manifest))
    }


def test_what_is_less_exact_and_what_nothing_notices_is_said(exported: Exported) -> None:
    assert VerificationReport.stored(exported(the("list_state")).manifest).inexact == ()
    bundle = exported(the("lstm"))
    stored = VerificationReport.stored(bundle.manifest)
    assert [reason.partition(":")[0] for reason in stored.inexact] == ["Sigmoid"]
    said = page_of(bundle).text["unchecked"]
    assert "In ONNX Runtime it loses digits below -3" in said
    report = dataclasses.replace(stored, unnoticed=("cell.weight",), inexact=())
    found = {gap.what: gap.why for gap in gaps(bundle, report)}
    assert found["cell.weight"] == "No golden vector notices a change of 1 % in it."
    assert "Sigmoid as exact as PyTorch's" not in found


def test_a_file_that_nothing_checked_is_not_said_to_agree(rnn: ModelCase, exported: Exported) -> None:
    bundle = exported(rnn)
    assert "Every file agrees with eager PyTorch." in page_of(bundle).text[""]
    data = json.loads(json.dumps(bundle.manifest.verification))
    for check in data["checks"]:
        if check["runtime"] == "c":
            check |= {
                "verdict": NOT_CHECKED,
                "step": None,
                "whole": None,
                "cut": None,
                "detail": "no compiler",
            }
    manifest = dataclasses.replace(bundle.manifest, verification=data)
    text = Page(render(dataclasses.replace(bundle, manifest=manifest))).text[""]
    assert "files agree with eager PyTorch; model.c was not checked: no compiler." in text


def test_only_hosts_that_can_run_the_bundle_are_named(exported: Exported) -> None:
    shown = page_of(exported(the("rnn"))).text["calls"]
    assert all(f"--host {host} " in shown for host in HOSTS)
    assert "--host" not in page_of(exported(the("rnn_float64"))).text["calls"]


@pytest.fixture
def bundle(exported: Exported, rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Give a bundle of one's own, and be quick to time it."""
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    shutil.copytree(exported(rnn).folder, tmp_path / "rnn")
    return Bundle.open(tmp_path / "rnn")


def test_report_measures_once_and_keeps_it(bundle: Bundle) -> None:
    assert make_report(bundle.folder) == bundle.folder / REPORT
    measured = Bundle.open(bundle.folder)
    found = measured.manifest.latency
    assert found["processor"]
    assert found["versions"]["onnxruntime"]
    assert [shape["batch"] for shape in found["shapes"]] == [*latency.BATCHES]
    assert {shape["time"] for shape in found["shapes"]} == {9}, "the example's time steps"
    checks = VerificationReport.stored(measured.manifest).checks
    of_sequences = {(c.file, c.runtime) for c in checks if c.file != STEP_ONNX}
    assert {(row["file"], row["runtime"]) for row in found["rows"]} == of_sequences
    assert all(len(row["microseconds"]) == len(found["shapes"]) for row in found["rows"])
    page = page_of(measured)
    assert len(page.all("circle", class_="dot")) == len(found["rows"]) * len(found["shapes"])
    assert found["processor"] in page.text["latency"]
    changed = {
        name for name, facts in measured.manifest.files.items() if facts != bundle.manifest.files[name]
    }
    assert changed == {REPORT}
    before = (bundle.folder / REPORT).stat()
    make_report(bundle.folder)
    assert (bundle.folder / REPORT).stat() == before, "what was measured is not measured again"
    make_report(bundle.folder, measure=True)
    assert Bundle.open(bundle.folder).manifest.latency != found
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["rnn"]


def test_out_leaves_the_bundle_as_it_is(bundle: Bundle, tmp_path: Path) -> None:
    page = make_report(bundle.folder, out=tmp_path / "page.html")
    assert Page(page.read_text()).all("circle", class_="dot")
    assert Bundle.open(bundle.folder).manifest == bundle.manifest
    with pytest.raises(BundleError, match=r"cannot be written: .*Name a file that you may write"):
        make_report(bundle.folder, out=tmp_path / "nowhere" / "page.html")


def test_a_bundle_without_a_report_gets_one(bundle: Bundle) -> None:
    (bundle.folder / REPORT).unlink()
    with pytest.raises(BundleError, match=r"report.html is missing"):
        make_report(bundle.folder)
    files = {name: facts for name, facts in bundle.manifest.files.items() if name != REPORT}
    latency_of_old = {"processor": "p", "versions": {}, "shapes": [], "rows": []}
    old = dataclasses.replace(bundle.manifest, files=files, latency=latency_of_old)
    (bundle.folder / "manifest.json").write_text(old.to_json())
    make_report(bundle.folder)
    assert REPORT in Bundle.open(bundle.folder).manifest.files


def test_what_goes_wrong_leaves_the_bundle_as_it_was(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, manifest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(latency, "write_report", fail)
    with pytest.raises(KeyboardInterrupt):
        make_report(bundle.folder)
    assert Bundle.open(bundle.folder).manifest == bundle.manifest
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["rnn"]


def test_the_chart_shows_the_module_in_pytorch(rnn: ModelCase, bundle: Bundle, tmp_path: Path) -> None:
    model, example = rnn.build()
    page = make_report(bundle.folder, out=tmp_path / "page.html", eager=(model, example, {}))
    assert "PyTorch, eager" in Page(page.read_text()).text["latency"]


def test_the_command_prints_where_the_page_is_and_opens_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda page: not opened.append(page))
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["report", "rnn", "--open"])
    assert (done.exit_code, done.stdout) == (0, "Written: rnn/report.html\n"), done.output
    assert opened == [(bundle.folder / REPORT).resolve().as_uri()]
    done = runner.invoke(app, ["report", "rnn", "--out", "page.html"])
    assert done.stdout == "Written: page.html\n"
    assert len(opened) == 1
    assert runner.invoke(app, ["report", "nothing"]).exit_code == 1
    assert rnn_export.verify("rnn").passed
