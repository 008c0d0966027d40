"""The report in a browser: it loads clean, fits every width, and is light or dark as the reader wants it."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from rnn_export.bundle.bundle import Bundle
from rnn_export.report import page
from rnn_export.report.page import REPORT, render
from rnn_export.verification.verify import VerificationReport
from tests.support.cases import the
from tests.support.exports import Exported
from tests.support.paths import ROOT
from tests.support.report_pages import with_curves

WIDTHS = (360, 800, 1400)
NAMES = ("rnn", "char_rnn", "deep_mixed", "bidirectional")
LOOKED_AT = (*NAMES, "lstm", "gru", "tagger", "list_state", "deep_bidirectional")
LATENCY = {
    "processor": "a processor",
    "versions": {"onnxruntime": "1"},
    "shapes": [{"time": 100, "batch": batch} for batch in (1, 4, 16)],
    "rows": [
        {"file": "model.c", "runtime": "c", "microseconds": [6.4, 16.5, 55.9], "note": ""},
        {"file": "model.onnx", "runtime": "onnxruntime", "microseconds": [47.1, 122.0, 444.0], "note": ""},
        {"file": "model.pt", "runtime": "torchscript", "microseconds": [], "note": "not installed"},
    ],
}
# Boxes with text that reach beyond the page, and are in nothing that scrolls by itself.
OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(element =>
    element.getBoundingClientRect().right > innerWidth + 1
    && !element.parentElement.closest(".scroll, pre, svg")
).map(element => element.outerHTML.slice(0, 80))"""
# How far the colours of a text and of what lies behind it are apart, by WCAG 2; the least of all texts.
CONTRAST = """() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const clear = colour => /, 0\\)$/.test(colour);
    const behind = element => {
        while (element && clear(getComputedStyle(element).backgroundColor)) element = element.parentElement;
        return getComputedStyle(element ?? document.documentElement).backgroundColor;
    };
    const texts = [...document.querySelectorAll("h1, h2, h3, p, td, th, dt, dd, a, code, summary")];
    return Math.min(...texts.map(element => {
        const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    }));
}"""
# Texts of a picture or chart that lie on each other.
OVERLAPPING = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const texts = [...svg.querySelectorAll("text")]
        .map(text => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width);
    return texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
    ).map(([other]) => `${one} lies on ${other}`));
})"""
# Texts of the picture that a line goes through, by points two apart; letters are a little smaller than boxes.
CROSSED = """() => [...document.querySelectorAll(".graph path.flow")].flatMap(path => {
    const texts = [...path.closest("svg").querySelectorAll("text")];
    const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
    const matrix = path.getScreenCTM(), hit = new Set();
    for (let at = 0; at < path.getTotalLength(); at += 2) {
        const {x, y} = path.getPointAtLength(at).matrixTransform(matrix);
        boxes.filter(([, box]) => x > box.left && x < box.right && y > box.top + 3 && y < box.bottom - 3)
            .forEach(([text]) => hit.add(`${path.getAttribute("d")} crosses ${text}`));
    }
    return [...hit];
})"""
# Boxes of the picture that their text leaves.
LEFT = """() => [...document.querySelectorAll(".graph g")].filter(group => {
    const own = group.querySelector(".box").getBoundingClientRect();
    return [...group.querySelectorAll("text")].map(text => text.getBoundingClientRect())
        .some(box => box.left < own.left || box.right > own.right || box.bottom > own.bottom + 1);
}).map(group => group.textContent)"""
VIEWS = (360, 900, 1500)
SCREENSHOTS = ROOT / "build" / "screenshots"  # kept, to be looked at
EVERYTHING = "a page with everything"

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Any]:
    """Open a page, which may neither complain nor ask for anything else."""
    contexts, complaints = [], []

    def open_page(file: Path, width: int = 1400, scheme: str = "light", **options: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: request.url != file.as_uri() and complaints.append(request.url))
        opened.goto(file.as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def full(exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Bundle]:
    """Give a page with all that one can hold."""
    bundle = exported(the("char_rnn"))
    stored = with_curves(VerificationReport.stored(bundle.manifest), horizon=12, tokens=True)
    monkeypatch.setattr(page.VerificationReport, "stored", lambda manifest: stored)
    manifest = dataclasses.replace(bundle.manifest, latency=LATENCY, metadata={"vocabulary": "x" * 300})
    file = tmp_path / REPORT
    file.write_text(render(dataclasses.replace(bundle, manifest=manifest)), encoding="utf-8")
    return file, bundle


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_the_page_fits(name: str, width: int, exported: Exported, visit: Any) -> None:
    opened = visit(exported(the(name)).folder / REPORT, width)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_with_everything_fits_and_can_be_read(
    full: tuple[Path, Bundle], width: int, scheme: str, visit: Any
) -> None:
    opened = visit(full[0], width, scheme)
    opened.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate(OUTSIDE) == []
    assert opened.evaluate(CONTRAST) >= 4.5


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*LOOKED_AT, EVERYTHING])
def test_views_are_kept_to_be_looked_at(
    name: str, exported: Exported, visit: Any, request: pytest.FixtureRequest
) -> None:
    everything = name == EVERYTHING
    file = request.getfixturevalue("full")[0] if everything else exported(the(name)).folder / REPORT
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in VIEWS:
        for scheme in ("light", "dark"):
            opened = visit(file, width, scheme)
            shot = SCREENSHOTS / f"{name.replace(' ', '_')}-{width}-{scheme}.png"
            opened.screenshot(path=shot, full_page=True)
            assert opened.evaluate(OUTSIDE) == []
            for wrong in (OVERLAPPING, CROSSED, LEFT):
                assert opened.evaluate(wrong) == [], shot


@pytest.mark.parametrize(
    ("wrong", "drawn", "said"),
    [
        (OVERLAPPING, '<text x="9" y="20">one</text><text x="12" y="22">two</text>', ["one lies on two"]),
        (OVERLAPPING, '<text x="9" y="20">one</text><text x="12" y="60">two</text>', []),
        (
            CROSSED,
            '<path class="flow" d="M0 15L99 15"/><text x="9" y="20">one</text>',
            ["M0 15L99 15 crosses one"],
        ),
        (CROSSED, '<path class="flow" d="M0 50L99 50"/><text x="9" y="20">one</text>', []),
        (LEFT, '<g><rect class="box" width="9" height="90"/><text x="2" y="20">long</text></g>', ["long"]),
        (LEFT, '<g><rect class="box" width="90" height="90"/><text x="2" y="20">long</text></g>', []),
    ],
)
@pytest.mark.several(6)
def test_what_cannot_be_read_is_found(
    wrong: str, drawn: str, said: list[str], visit: Any, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(f'<meta charset="utf-8"><svg class="graph" width="200" height="200">{drawn}</svg>')
    assert visit(file).evaluate(wrong) == said


def test_charts_have_a_line_for_each_file_in_each_runtime(full: tuple[Path, Bundle], visit: Any) -> None:
    file, bundle = full
    opened = visit(file)
    checks = VerificationReport.stored(bundle.manifest).checks
    assert opened.locator("#error-chart svg .series[data-runtime]").count() == len(checks)
    panels = opened.locator("#error-chart figure:has(.series[data-runtime])")
    assert panels.count() == len({check.runtime for check in checks})
    assert panels.locator(".bound").count() == panels.locator(".horizon").count() == panels.count()
    assert opened.locator("#latency-chart figure").count() == 3
    assert opened.locator("#latency-chart .dot").count() == 6
    assert opened.get_by_text("Same token").count() == 1
    assert opened.get_by_text("Not timed: model.pt in torchscript: not installed").count() == 1


def test_light_and_dark_differ(exported: Exported, visit: Any) -> None:
    file = exported(the("rnn")).folder / REPORT
    colours = []
    for scheme in ("light", "dark"):
        opened = visit(file, scheme=scheme)
        style = "getComputedStyle(document.body)"
        colours.append(opened.evaluate(f"[{style}.backgroundColor, {style}.color]"))
    (light, on_light), (dark, on_dark) = colours
    assert light != dark
    assert on_light != on_dark


def test_programs_are_copied(exported: Exported, visit: Any) -> None:
    opened = visit(exported(the("rnn")).folder / REPORT, permissions=["clipboard-read", "clipboard-write"])
    opened.get_by_role("button", name="Copy").first.click()
    opened.get_by_role("button", name="Copied").wait_for()
    copied = opened.evaluate("navigator.clipboard.readText()")
    assert copied == opened.locator("pre").first.text_content()
    assert copied.startswith("import numpy")


def test_without_scripts_everything_can_be_read(exported: Exported, visit: Any) -> None:
    opened = visit(exported(the("rnn")).folder / REPORT, java_script_enabled=False)
    assert opened.get_by_role("button", name="Copy").count() == 0
    for summary in opened.locator("details.program summary").all()[1:]:
        summary.click()
    assert all(code.is_visible() for code in opened.locator("pre").all())
    assert opened.locator(".graph").is_visible()
    assert opened.get_by_role("heading", level=1).text_content() == "rnn"
