"""Several exports at once, beside threads that do something else."""

import logging
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import rnn_export
from rnn_export.models import RNNScratch
from rnn_export.program.quiet import LOGGERS


def of_the_process() -> dict[str, object]:
    """List what belongs to the whole process and is some thread's to change for a while."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    return {
        "threads": torch.get_num_threads(),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "levels": levels,
        "profile": sys.getprofile(),
        **seen_by_all(),
    }


def seen_by_all() -> dict[str, object]:
    """List what other threads may rely on while an export runs."""
    return {
        "dtype": torch.get_default_dtype(),
        "stdout": sys.stdout,
        "stderr": sys.stderr,
        "folder": Path.cwd(),
    }


@pytest.mark.parametrize("exports", [2, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_exports_in_threads_disturb_neither_each_other_nor_anybody_else(exports: int, tmp_path: Path) -> None:
    before, seen, ended = of_the_process(), [seen_by_all()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.001):
            if (now := seen_by_all()) not in seen:
                seen.append(now)

    watcher = threading.Thread(target=watch)
    watcher.start()

    def export(number: int) -> rnn_export.Bundle:
        example = torch.randn(4, 2, 2), (torch.zeros(2, 3),)
        return rnn_export.export(RNNScratch(2, 3, 2).eval(), example, tmp_path / f"net_{number}")

    with ThreadPoolExecutor(exports) as pool:
        bundles = list(pool.map(export, range(exports)))
    ended.set()
    watcher.join()
    assert all(bundle.manifest.verification["passed"] for bundle in bundles)
    assert len(seen) == 1
    assert of_the_process() == before
