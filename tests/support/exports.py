"""Every case exported once, for all processes that run tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import rnn_export
from tests.support.cases import CallCase, ModelCase

Exported = Callable[[ModelCase | CallCase], rnn_export.Bundle]


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Give a folder that all test processes share."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


def export_once(shared: Path, case: ModelCase | CallCase, **options: bool) -> rnn_export.Bundle:
    folder = shared / case.name
    shared.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.exists():
            return rnn_export.Bundle.open(folder)
        return rnn_export.export(*case.build(), folder, step=getattr(case, "step", False), **options)
