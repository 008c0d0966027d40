"""Every case exported once, for all processes that run tests, and for later runs with the same sources."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from filelock import FileLock

import rnn_export
from rnn_export.runtimes.compiler import compiler
from rnn_export.verification import grid
from tests.support.cases import CallCase, ModelCase, the
from tests.support.paths import ROOT

Exported = Callable[..., rnn_export.Bundle]  # of a case, and of what an export is told beside it

CACHE = ROOT / "build" / "tests"
SETTINGS = ("CC", "CFLAGS", "XDG_CACHE_HOME")  # what tests of compilers change in the environment
WEEK = 7 * 24 * 3600.0  # seconds
MOST = 4  # of the sources, and of the processors, that are remembered


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Give a folder that all test processes share."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


def processor() -> str:
    """Name this processor and what it can do, as ``-march=native`` depends on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return digest([platform.machine(), platform.processor(), *sorted({*facts})])


def sources(root: Path = ROOT) -> str:
    """Name all that a bundle depends on: sources, packages, compiler and its options, processor."""
    files = [*(root / "rnn_export").rglob("*"), *(root / "tests" / "support").rglob("*")]
    contents = (
        f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(files)
        if path.is_file() and path.suffix != ".pyc"
    )
    packages = sorted(f"{each.name} {each.version}" for each in distributions())
    version = subprocess.run([*(compiler() or ["false"]), "--version"], capture_output=True, check=False)
    options = [os.environ.get(name, "") for name in ("CC", "CFLAGS")]
    return digest([*contents, *packages, sys.version, str(version.stdout), *options, processor()])


def digest(facts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def remembered(kind: str, key: str) -> Path:
    """Give the folder of a key, and forget those of the keys that were not asked for lately."""
    folder = CACHE / kind / key
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    by_age = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[MOST:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def libraries() -> Path:
    """Give the folder for C that is built for this processor; of files that old, none is in use."""
    folder = remembered("libraries", processor())
    for path in folder.rglob("*.so"):
        if path.stat().st_mtime < time.time() - WEEK:
            path.unlink(missing_ok=True)
    return folder


class Exports:
    """Gives the bundle of a case, exported once, in the environment that the tests began with.

    What a test patches in the package is still patched: ask for the bundle first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: os.environ[name] for name in SETTINGS if name in os.environ}

    def __call__(self, case: ModelCase | CallCase, **options: bool) -> rnn_export.Bundle:
        assert case is the(case.name), "expected a case of the table: what others depend on is not known"
        calls = "_".join(f"{time}x{batch}" for time, batch in grid.FAR)
        shared = self.folder / "_".join(["bundles", calls, *options])
        shared.mkdir(parents=True, exist_ok=True)
        folder = shared / case.name
        with FileLock(folder.with_suffix(".lock")):
            if folder.exists():
                return rnn_export.Bundle.open(folder)
            with pytest.MonkeyPatch.context() as patch:
                for name in SETTINGS:
                    patch.delenv(name, raising=False)
                for name, value in self.environment.items():
                    patch.setenv(name, value)
                step = getattr(case, "step", False)
                return rnn_export.export(*case.build(), folder, step=step, **options)
