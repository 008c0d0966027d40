"""Time a bundle, and put what was found into its manifest and its report."""

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rnn_export.benchmark.bench import Origin, bench, one_core
from rnn_export.bundle.bundle import Bundle, staged
from rnn_export.bundle.golden import RUN
from rnn_export.bundle.untrusted.files import MANIFEST
from rnn_export.errors import BundleError
from rnn_export.progress import ProgressCallback
from rnn_export.report.page import REPORT, render
from rnn_export.report.write import write_report
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.version import __version__

BATCHES = (1, 4, 16)
SECONDS = 1.0  # for one shape
TOOLS = ("onnx", "onnxruntime", "torch", "numpy")


def make_report(
    folder: str | Path,
    *,
    measure: bool = False,
    out: str | Path | None = None,
    eager: Origin | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Make the report of a bundle, with how long its calls take on this machine.

    Args:
        folder: a bundle. Its report is replaced, and its manifest gets what was measured: both or neither.
        measure: whether to measure again what the manifest has already.
        out: a file for the page; the bundle is left as it is then.
        eager: the module that was exported, with the arguments of a call, to be timed as well, anew.
        progress: called with what is being done, the parts done and their number.

    Returns:
        The page.

    Raises:
        BundleError: there is no bundle, a file is not the one that was written, or nothing can be written.
    """
    bundle = Bundle.open(Path(folder).resolve())
    manifest = bundle.manifest
    if measure or eager or not manifest.latency:
        manifest = replace(manifest, latency=time_bundle(bundle, progress, eager))
    if out is not None:
        return _write(Path(out), render(replace(bundle, manifest=manifest)))
    if manifest != bundle.manifest or REPORT not in manifest.files:
        with staged(bundle.folder, overwrite=True) as staging:
            bundle.copy(staging)
            (staging / MANIFEST).unlink()
            write_report(staging, manifest)
    return Path(folder) / REPORT


def time_bundle(
    bundle: Bundle, progress: ProgressCallback | None = None, eager: Origin | None = None
) -> dict[str, Any]:
    """Time every file in every runtime on one core: what ``latency`` of a manifest holds.

    Gives the name of the ``processor``, the ``versions`` that ran, the ``shapes`` of the calls, each with
    ``time`` and ``batch``, and ``rows`` with ``file``, ``runtime``, and the median ``microseconds`` of each
    shape, or a ``note`` that says why there are none.
    """
    lengths = sorted({case.time for case in bundle.cases if case.kind == RUN and case.batch > 1})
    steps = lengths[-2:][0]  # near the example's
    with one_core():
        shapes = [(steps, batch) for batch in BATCHES]
        found = bench(bundle.folder, shapes, seconds=SECONDS, eager=eager, progress=progress).to_json()
    packages = {runtime.package for runtime in RUNTIMES.values() if runtime.installed}
    versions = {tool: version(tool) for tool in TOOLS if tool in packages or tool == "numpy"}
    return {
        "processor": _processor(),
        "versions": {"rnn_export": __version__, "python": platform.python_version(), **versions},
        "shapes": found["shapes"],
        "rows": [
            {key: row[key] for key in ("file", "runtime", "microseconds", "note")} for row in found["rows"]
        ],
    }


def _processor() -> str:
    """Name the processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.is_file() else []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _write(file: Path, text: str) -> Path:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{file} cannot be written: {error}. Name a file that you may write.") from error
    return file
