"""Write ``report.html``: what a person wants to know of a bundle, in one file that loads nothing."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import onnx

from rnn_export.benchmark.bench import other_forms
from rnn_export.bundle.bundle import Bundle, Manifest, chosen_form
from rnn_export.bundle.layout import MODEL_ONNX
from rnn_export.bundle.weights import weights_text
from rnn_export.capture.onnx_file.opset import opset_of
from rnn_export.report.calls import scaffolds, snippets
from rnn_export.report.charts import errors, latencies
from rnn_export.report.picture import draw
from rnn_export.report.unchecked import gaps
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.verification.compare import NOT_CHECKED, PASSED
from rnn_export.verification.verify import VerificationReport

REPORT = "report.html"
README = "README.md"
PAGES = {REPORT, README}  # for people; they are not listed in each other
TEMPLATES = Path(__file__).parent / "templates"
ABOUT = {  # what a file is, by its name or its folder
    "model.pt": "TorchScript, the loop still a loop. It is code: load it only if you trust who wrote it",
    "model.onnx": "ONNX",
    "model.pt2": "a program of torch.export, for PyTorch and AOTInductor. It is code, as model.pt is",
    "step.onnx": "ONNX: one time step in plain operators, without a time axis, for engines that run no loops",
    "model.c": "C11 without dependencies",
    "model.h": "what model.c offers, argument by argument",
    "model.c.weights": "the numbers of model.c, little-endian",
    "variants/loop.onnx": "ONNX: the scripted module as PyTorch writes it",
    "variants/scan.onnx": "ONNX: loops that hold the recurrence alone",
    "variants/step.onnx": "ONNX: one loop around the traced step",
    "variants/operator.onnx": "ONNX: the recurrences as operators of ONNX",
    "variants/gated.onnx": "ONNX: recurrences carried by a gated operator",
    "golden/index.json": "calls with eager's results, to check any implementation",
    "golden/tensors.bin": "their numbers, little-endian",
}


@dataclass(frozen=True)
class FileRow:
    """A file as the table shows it; ``share`` of the largest one, in percent."""

    name: str
    about: str
    bytes: int
    share: float
    sha256: str


def render(bundle: Bundle) -> str:
    """Write the page of a bundle; the same bundle gives the same bytes."""
    report = VerificationReport.stored(bundle.manifest)
    style, script = ((TEMPLATES / file).read_text() for file in ("report.css", "report.js"))
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            bundle=bundle,
            manifest=bundle.manifest,
            signature=bundle.signature,
            report=report,
            passed=sum(check.verdict == PASSED for check in report.checks),
            unchecked=sum(check.verdict == NOT_CHECKED for check in report.checks),
            dynamics=report.dynamics,
            rule=bundle.manifest.verification.get("tolerance", {}).get("rule", ""),
            step=draw(bundle),
            passes=_passes(bundle.manifest),
            files=file_rows(bundle),
            errors=errors(report),
            latency=bundle.manifest.latency,
            faster=_faster(bundle.manifest.latency),
            times=latencies(bundle.manifest.latency),
            snippets=snippets(bundle),
            scaffolds=scaffolds(bundle),
            gaps=gaps(bundle, report),
            weights=weights_text(bundle.manifest.weights),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,  # what a bundle says of itself is text of others
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "initial": initial, "sentence": sentence}
    return environment


def _hash(text: str) -> str:
    """Give what a Content-Security-Policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def file_rows(bundle: Bundle) -> list[FileRow]:
    """List the files of a bundle that programs read, with what each is."""
    model = onnx.load_model_from_string(bundle.files.read(bundle.folder / MODEL_ONNX))
    kind = f"{ABOUT[MODEL_ONNX]}, opset {opset_of(model)}"
    about = {**ABOUT, MODEL_ONNX: f"{kind}: {chosen_form(bundle.manifest)}"}
    files = {file: facts for file, facts in bundle.manifest.files.items() if file not in PAGES}
    largest = max((facts["bytes"] for facts in files.values()), default=1) or 1
    return [
        FileRow(file, about.get(file, ""), facts["bytes"], 100 * facts["bytes"] / largest, facts["sha256"])
        for file, facts in files.items()
    ]


def _faster(latency: dict[str, Any]) -> list[str]:
    """Say for which calls another form than ``model.onnx`` was faster."""
    times = {(row["file"], row["runtime"]): row["microseconds"] for row in latency.get("rows", ())}
    return other_forms(times, [(shape[TIME], shape[BATCH]) for shape in latency.get("shapes", ())])


def _passes(manifest: Manifest) -> list[tuple[str, list[str], str]]:
    """List the passes that changed something: the operators that became more or fewer, and the form."""
    return [
        (name, [_counted(operator, *pair, first=not number) for operator, pair in changed.items()], form)
        for number, (name, changed, form) in enumerate(manifest.changes())
    ]


def _counted(operator: str, before: int, after: int, *, first: bool) -> str:
    return f"{operator} {after}" if first else f"{operator} {before} → {after}"


def size(count: int) -> str:
    """Write a number of bytes for people.

    >>> size(900), size(46006), size(3_400_000)
    ('900 B', '46.0 kB', '3.4 MB')
    """
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def sentence(text: str) -> str:
    """Begin a sentence with a capital letter.

    >>> sentence("every file agrees"), sentence("2 files agree")
    ('Every file agrees', '2 files agree')
    """
    return text[:1].upper() + text[1:]


def initial(value: float | Sequence[object]) -> str:
    """Say what a state begins with.

    >>> initial(0.0), initial([0.5, -1.0])
    ('0', 'a row of its own, in manifest.json')
    """
    return f"{value:g}" if isinstance(value, int | float) else "a row of its own, in manifest.json"
