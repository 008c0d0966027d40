"""The files of a module as an export writes them, before they are verified."""

from pathlib import Path

from rnn_export.backends.write import Written, write_files
from rnn_export.capture.capture import capture
from rnn_export.module.subject import Subject
from rnn_export.passes.forms import improve
from rnn_export.progress import silent
from rnn_export.workers import Workers


def written(subject: Subject, folder: Path, name: str, *, pt2: bool = False) -> Written:
    """Write all files of a module, as an export does before it verifies them."""
    with Workers() as workers:
        return write_files(improve(capture(subject, silent, workers)), folder, name, {}, pt2=pt2)
