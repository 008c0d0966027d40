"""Write what people read of a bundle, README.md and report.html, and the manifest that lists them."""

from dataclasses import replace
from pathlib import Path

from rnn_export.bundle.bundle import Bundle, Manifest, describe_files
from rnn_export.bundle.untrusted.files import MANIFEST
from rnn_export.report.page import README, REPORT, render
from rnn_export.report.readme import render_readme


def write_report(folder: Path, manifest: Manifest) -> Bundle:
    """Write both pages and the manifest of a folder that holds all other files of a bundle."""
    bundle = Bundle(folder, replace(manifest, files=describe_files(folder)))
    (folder / README).write_text(render_readme(bundle), encoding="utf-8")
    (folder / REPORT).write_text(render(bundle), encoding="utf-8")
    complete = Bundle(folder, replace(manifest, files=describe_files(folder)))
    (folder / MANIFEST).write_text(complete.manifest.to_json())
    return complete
