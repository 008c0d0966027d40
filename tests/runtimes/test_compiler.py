"""The cache of built libraries: it is bounded, and can be looked at and emptied."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnn_export.cli.main import app
from rnn_export.runtimes import compiler
from rnn_export.runtimes.compiler import forget, libraries

runner = CliRunner()


def filled(folder: Path, *sizes: int) -> list[Path]:
    """Write libraries of some bytes, each used later than the one before."""
    paths = [folder / f"{place}.so" for place in range(len(sizes))]
    for used, (path, size) in enumerate(zip(paths, sizes, strict=True), start=1):
        path.write_bytes(bytes(size))
        os.utime(path, (used, used))
    return paths


def test_those_go_first_that_were_not_used_for_long(tmp_path: Path) -> None:
    first, second, third = filled(tmp_path, 5, 7, 9)
    assert forget(tmp_path, 21) == []
    assert forget(tmp_path, 17) == [first]
    os.utime(second)
    assert forget(tmp_path, 9) == [third]
    assert libraries(tmp_path) == {second: 7}


def test_the_one_that_is_about_to_be_used_stays(tmp_path: Path) -> None:
    first, second = filled(tmp_path, 5, 50)
    assert forget(tmp_path, 9, second) == [first]
    assert libraries(tmp_path) == {second: 50}


def test_a_build_bounds_the_cache_and_a_use_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiler, "MOST", 1)
    monkeypatch.setattr(compiler, "compiler", lambda: ["true"])
    monkeypatch.setattr(compiler, "build", lambda source, target, *_: target.write_bytes(b"so"))
    filled(compiler.cache(), 3)
    source = tmp_path / "model.c"
    source.write_text("int x;")
    built = compiler.library(source)
    assert libraries(compiler.cache()) == {built: 2}
    os.utime(built, (1, 1))
    assert compiler.library(source) == built
    assert built.stat().st_atime > 1


def test_the_command_shows_and_clears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    filled(compiler.cache(), 3, 4)
    folder = tmp_path / "rnn_export"
    shown = runner.invoke(app, ["cache"], env={"COLUMNS": "200"})
    assert shown.stdout.startswith(f"{folder}: 2 libraries, 7 bytes\nAt most 200,000,000 bytes are kept")
    cleared = runner.invoke(app, ["cache", "--clear"])
    assert cleared.stdout == f"{folder}: removed 2 libraries\n"
    assert libraries(folder) == {}
