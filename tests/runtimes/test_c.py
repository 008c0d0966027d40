"""The runtime for C: what it keeps of what it has built."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnn_export.errors import RuntimeUnavailableError
from rnn_export.runtimes.compiler import library
from tests.support.c_programs import needs_compiler
from tests.support.cases import ModelCase
from tests.support.exports import Exported

pytestmark = needs_compiler


@pytest.fixture
def source(rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a model.c, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    return tmp_path / "bundle" / "model.c"


def compiler_that_is(version: str, folder: Path) -> None:
    """Put a compiler into a folder that says it has a version."""
    folder.mkdir(exist_ok=True)
    script = folder / "mycc"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit\nexec cc "$@"\n')
    script.chmod(0o755)


def test_a_library_is_built_once(source: Path) -> None:
    first = library(source)
    written = first.stat().st_mtime_ns
    assert library(source) == first
    assert first.stat().st_mtime_ns == written


@pytest.mark.parametrize("file", ["model.c", "model.h", "model.c.weights"])
def test_another_content_is_another_library(file: str, source: Path) -> None:
    first = library(source)
    with source.with_name(file).open("a") as changed:
        changed.write("\n")
    assert library(source) != first


@pytest.mark.needs("cc")
def test_another_version_of_the_compiler_builds_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "bin" / "mycc"))
    compiler_that_is("1.0", tmp_path / "bin")
    first = library(source)
    assert library(source) == first
    compiler_that_is("2.0", tmp_path / "bin")
    assert library(source) != first


def test_processes_that_build_at_once_get_the_same_library(source: Path) -> None:
    code = (
        "import pathlib, sys; from rnn_export.runtimes.compiler import library;"
        " print(library(pathlib.Path(sys.argv[1])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, source], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate()[0].strip() for process in started}
    assert said == {str(library(source))}
    assert [path.suffix for path in library(source).parent.iterdir()] == [".so"]


def test_a_home_that_cannot_be_written_is_no_obstacle(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/proc/nowhere")  # where root cannot write either
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(source.parent))
    built = library(source)
    assert built.parent.parent == source.parent


def test_no_folder_at_all_says_what_to_set(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/proc/nowhere")
    with pytest.raises(RuntimeUnavailableError, match="no folder for built libraries: set XDG_CACHE_HOME"):
        library(source)
