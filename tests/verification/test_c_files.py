"""What verify says of C that is wrong on some processors, in what it tells, or that no compiler takes."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import rnn_export
from rnn_export.bundle.bundle import MANIFEST, describe_files, manifest_text
from rnn_export.errors import BuildError
from rnn_export.runtimes import c, compiler
from rnn_export.verification.compare import FAILED, PASSED, Check
from rnn_export.verification.verify import VerificationReport, verify
from tests.support.c_programs import has_avx512, needs_compiler
from tests.support.cases import ModelCase, the
from tests.support.exports import Exported

pytestmark = needs_compiler
STORE = "{ *(vec *)x = y; }"


def judged(folder: Path) -> Check:
    """Hash the files of a folder anew, verify it, and give the check of C."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    [check] = [check for check in verify(folder).checks if check.file == "model.c"]
    return check


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """Give the copy of a bundle, without the files that take long to check."""
    copy = shutil.copytree(exported(the("lstm")).folder, tmp_path / "copy")
    shutil.rmtree(copy / "variants")
    for file in ("model.pt", "model.onnx"):
        (copy / file).unlink()
    return copy


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("lanes", [0, 4, 8, 16])
def test_every_kind_of_processor_is_tried(lanes: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if lanes == 16 and not has_avx512():
        pytest.skip("a processor without AVX-512")
    monkeypatch.setenv("CFLAGS", "-O1")
    broken = f"{{ if (LANES == {lanes}) y = y * 1.01f; *(vec *)x = y; }}"
    changed(folder / "model.c", STORE, broken)
    check = judged(folder)
    assert check.verdict == (FAILED if lanes else PASSED), check.detail
    assert check.worst is not None
    assert (check.worst.share > 1) == bool(lanes)


@pytest.mark.skipif(sys.platform != "linux", reason="the loader does not say where static memory is")
def test_memory_that_a_call_leaves_behind_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O1 -DPLAIN_LOOPS")
    changed(folder / "model.c", STORE, "{ static volatile int stored; stored++; *(vec *)x = y; }")
    check = judged(folder)
    assert check.verdict == FAILED
    assert "expected no memory but a call's own to change, got a change of static memory" in check.detail


@pytest.mark.parametrize("size", ["STATE", "INPUT", "OUTPUT"])
def test_a_size_of_the_header_is_compared(size: str, folder: Path) -> None:
    header = (folder / "model.h").read_text()
    (folder / "model.h").write_text(re.sub(rf"(_{size}_SIZE) (\d+)", r"\1 1\2", header))
    check = judged(folder)
    assert check.verdict == FAILED
    assert check.detail.startswith("sizes in model.h: expected ")


@pytest.mark.parametrize(
    ("old", "new"), [(r"(_VOCABULARY_SIZE) (\d+)", r"\1 1\2"), (r"#define \w+_VOCABULARY_SIZE .*", "")]
)
def test_the_vocabulary_of_the_header_is_compared(
    old: str, new: str, exported: Exported, tmp_path: Path
) -> None:
    bundle = exported(the("tagger"))
    for file in ("model.c", "model.h"):
        shutil.copy(bundle.folder / file, tmp_path)
    c.start(tmp_path / "model.c", bundle.signature)
    header = (tmp_path / "model.h").read_text()
    (tmp_path / "model.h").write_text(re.sub(old, new, header))
    with pytest.raises(BuildError, match=r"sizes in model.h: expected .*'VOCABULARY': "):
        c.start(tmp_path / "model.c", bundle.signature)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("memset(state, 0, batch", "memset(state, 1, batch"),
        ("memset(state, 0, batch", "memset(state, 0, 4 + batch"),
    ],
)
def test_the_initial_state_is_compared(old: str, new: str, folder: Path) -> None:
    changed(folder / "model.c", old, new)
    check = judged(folder)
    assert check.verdict == FAILED
    assert check.detail.startswith("initial_state() of model.c: expected ")


def test_a_call_that_writes_too_much_is_seen(folder: Path) -> None:
    changed(
        folder / "model.c",
        "run_all(&call, first, first + rows);\n",
        "run_all(&call, first, first + rows);\n    state_out[batch * LSTM_STATE_SIZE] = 1;\n",
    )
    check = judged(folder)
    assert check.verdict == FAILED
    assert "writes behind the end of an array" in check.detail


def test_what_the_compiler_rejects_has_failed(folder: Path) -> None:
    changed(folder / "model.c", "const char *lstm_version(void)", "const char *lstm_version(no_such_type x)")
    check = judged(folder)
    assert check.verdict == FAILED
    assert re.search(r"failed: .*model.c:\d+:\d+: error: unknown type name", check.detail)


def test_a_compiler_that_does_not_end_or_dies_has_failed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "mycc"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\nkill -SEGV $$\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    check = judged(folder)
    assert check.verdict == FAILED
    assert check.detail.endswith("failed: status -11")
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\nexec sleep 9\n')
    monkeypatch.setattr(compiler, "LIMIT", 0.1)
    with pytest.raises(rnn_export.errors.BuildError, match=r"did not finish within 0 s"):
        compiler.library(folder / "model.c")


def test_c_that_cannot_be_built_is_left_out_with_its_reason(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-Dtanh_pieces=1 -DSLOTS=oops")
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert not {"model.c", "model.h"} & set(bundle.manifest.files)
    report = VerificationReport.stored(bundle.manifest)
    assert report.passed
    [reason] = [reason for reason in report.left_out if reason.startswith("model.c in c: ")]
    assert "error:" in reason
