"""A full disk, folders that vanish, killed runs: a clear error, the old bundle intact, nothing left."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rnn_export
from rnn_export.bundle import staging
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import BundleError, OnnxFileError
from rnn_export.runtimes.compiler import library
from rnn_export.runtimes.load import load, ship
from rnn_export.verification.verify import check_bundle
from tests.support.c_programs import needs_compiler
from tests.support.cases import ModelCase
from tests.support.exports import Exported
from tests.support.quick import FULL, Disk, Export, digest, quick_export

OTHERS = {".ses", "torchinductor_root"}  # what torch and ONNX Runtime leave in TMPDIR
A_WHILE = 20.0  # seconds, for what takes a fraction of one


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def bundle(rnn: ModelCase, exported: Exported) -> Bundle:
    return exported(rnn)


@pytest.fixture
def export(rnn: ModelCase, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Export:
    return quick_export(rnn, bundle, monkeypatch)


@pytest.fixture
def old(bundle: Bundle, tmp_path: Path) -> Path:
    """Give a folder with a bundle that is to be replaced."""
    folder = shutil.copytree(bundle.folder, tmp_path / "parent" / "bundle")
    (folder / "of_old").touch()
    return folder


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_a_disk_that_is_full_at_any_write_is_named(
    every: int, export: Export, old: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    export(old.with_name("first"))
    before = digest(old)
    with monkeypatch.context() as context:
        disk = Disk(context)
        export(old.with_name("second"))
    refused = range(1, disk.calls + 1, every)
    for last in refused:
        with monkeypatch.context() as context:
            Disk(context).last = last
            with pytest.raises(BundleError, match=rf"bundle cannot be written: .*{FULL}.* Make room there"):
                export(old)
        assert digest(old) == before
    assert listed(old.parent) == ["bundle", "first", "second"]
    assert disk.calls > 30
    assert digest(old.with_name("second")) == digest(old.with_name("first"))
    figure(f"full disk: of {disk.calls} writes of an export, {len(refused)} refused in turn")


@pytest.mark.parametrize("stage", ["Writing the files", "Running eager PyTorch over the grid", "Verifying"])
@pytest.mark.parametrize("gone", ["own folder", "parent"])
def test_a_folder_that_vanishes_meanwhile_is_named(
    export: Export, rnn: ModelCase, old: Path, stage: str, gone: str
) -> None:
    """With the quick export's replies: what is verified is not what vanishes."""
    before = digest(old)
    target = old if gone == "own folder" else old.parent / "inner" / "bundle"

    def remove(current: str, *_: object) -> None:
        if current == stage:
            own = next(path for path in target.parent.iterdir() if path.name.endswith(staging.SUFFIX))
            shutil.rmtree(own if gone == "own folder" else target.parent)

    with pytest.raises(BundleError, match=r"cannot be written: .*No such file.* A folder was removed"):
        rnn_export.export(*rnn.build(), target, name=rnn.name, overwrite=True, progress=remove)
    assert digest(old) == before
    assert listed(old.parent) == ["bundle"]


@pytest.mark.usefixtures("fresh_processes")
@pytest.mark.parametrize("file", ["model.pt", "model.onnx"])
def test_a_file_that_vanishes_is_not_called_wrong(bundle: Bundle, old: Path, file: str) -> None:
    opened = Bundle(old, bundle.manifest)
    assert opened.cases
    (old / file).unlink()
    with pytest.raises(BundleError, match=rf"{file} cannot be checked in \w+: .*(was removed|No such file)"):
        check_bundle(opened)


def compiler(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script be the C compiler, and the cache of libraries be empty."""
    path = folder / "mycc"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.mark.exhaustive
@pytest.mark.usefixtures("fresh_processes")
def test_a_disk_that_is_full_where_c_is_built_is_not_a_wrong_file(
    rnn: ModelCase, bundle: Bundle, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path, f"echo as: {FULL} >&2; exit 1", monkeypatch)
    before = digest(old)
    with pytest.raises(
        BundleError, match=rf"model.c cannot be checked in c: {tmp_path}/cache/.*{FULL}.* Make room there"
    ):
        rnn_export.export(*rnn.build(), old, overwrite=True)
    assert digest(old) == before
    assert listed(old.parent) == ["bundle"]
    assert listed(tmp_path / "cache" / "rnn_export") == []
    with pytest.raises(BundleError, match=FULL):
        load(bundle.folder, "c")
    with pytest.raises(BundleError, match=f"lib cannot be written: .*{FULL}"):
        ship(bundle.folder, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


def test_a_program_that_cannot_be_copied_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, FULL)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(BundleError, match=rf"program cannot be written: \[Errno 28\] {FULL}\. What was"):
        rnn_export.scaffold([bundle.folder], "c", tmp_path / "program")
    assert listed(tmp_path) == []


def processes(session: int) -> list[str]:
    """List what runs in a session: the processes that one process has started, and theirs."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            said = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # no process, or one that has ended by now
        if int(own) == session and state != "Z":
            found.append(said)
    return found


def wait_for(done: Callable[[], bool], what: str) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() < begun + A_WHILE, what
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="lists processes as Linux does")
def test_what_a_killed_run_has_started_ends_too(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path, f"touch {tmp_path}/started; sleep 600", monkeypatch)
    code = f"import rnn_export; rnn_export.verify({str(bundle.folder)!r})"
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    run = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env=environment)
    wait_for((tmp_path / "started").exists, "no compiler was started")
    wait_for(lambda: any("sleep" in said for said in processes(run.pid)), "the compiler does not sleep")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(lambda: not processes(run.pid), "something goes on")
    assert listed(tmp_path / "cache" / "rnn_export") == []
    assert {*listed(tmp_path / "tmp")} <= OTHERS


@needs_compiler
def test_what_a_killed_build_left_is_cleaned_by_the_next_call(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = library(bundle.folder / "model.c")
    (built.parent / ".build.abcd_123.partial").mkdir()
    assert library(bundle.folder / "model.c") == built
    assert listed(built.parent) == [built.name]


@needs_compiler
def test_what_a_killed_compile_left_is_cleaned_by_the_next(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / ".librnn.so.abcd_123.partial").mkdir()
    ship(bundle.folder, tmp_path)
    assert listed(tmp_path) == ["librnn.so", "model.h"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_optimized_file_appears_whole_or_not_at_all(
    bundle: Bundle, tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "parent" / "out.onnx"
    given = bundle.folder / "variants" / "loop.onnx"
    if overwrite:
        out.parent.mkdir()
        out.write_text("old")
    rnn_export.optimize(given, tmp_path / "first" / "out.onnx")  # what runs models has started then
    with monkeypatch.context() as context:
        disk = Disk(context)
        rnn_export.optimize(given, tmp_path / "other" / "out.onnx", overwrite=overwrite)
        calls = disk.calls
    for last in range(1, calls + 1):
        with monkeypatch.context() as context:
            Disk(context).last = last
            with pytest.raises(OnnxFileError, match=f"out.onnx cannot be written: .*{FULL}"):
                rnn_export.optimize(given, out, overwrite=overwrite)
        assert (out.read_text() == "old") if overwrite else not out.parent.exists()
    assert calls > 4


@pytest.mark.exhaustive
def test_a_disk_that_is_really_full_is_named(tmp_path: Path, figure: Callable[[str], None]) -> None:
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    able = shutil.which("unshare") and subprocess.run([*alone, "true"], check=False).returncode == 0
    line = [*(alone if able else []), sys.executable, "-m", "tests.support.full_disk", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    assert all(int(line.split()[0]) > 10 for line in said), said
    figure(f"full disk: {', '.join(said)}, each too small in turn")
