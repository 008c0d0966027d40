"""``rnn-export compile --wasm``: one file, which is compared with eager PyTorch before it is written."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from rnn_export.errors import BuildError, RuntimeUnavailableError, VerificationError
from rnn_export.runtimes import wasm, wasm_build
from rnn_export.runtimes.compiler import Entry
from rnn_export.verification.compare import PASSED
from rnn_export.verification.wasm import ship_wasm
from tests.support.cases import CASES, ModelCase
from tests.support.exports import Exported
from tests.support.general_calls import GENERAL
from tests.support.paths import ROOT

pytestmark = pytest.mark.needs("clang", "wasm-ld")

SCRATCH = ROOT / "artifacts" / "rnn_scratch"
KILOBYTES = 20_000  # what rnn_scratch may have
GENERAL_CALLS = ["a machine", "a mask of the memory's length", "flattened"]


def apart(content: bytes) -> tuple[bytes, Any]:
    """Give what a module has before its custom section at the end, and what that says."""
    name = wasm_build.SECTION.encode()
    start = content.rindex(name + b"{") + len(name)
    said = content[start:]
    section = wasm_build.custom_section(wasm_build.SECTION, said)
    assert content.endswith(section)
    return content.removesuffix(section), json.loads(said)


def test_gives_one_small_file_that_agrees_and_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compile", str(SCRATCH), "--out", str(tmp_path / "lib"), "--wasm"])
    assert done.exit_code == 0, done.output
    assert "passed in wasmtime: 108 calls" in " ".join(done.output.split())
    assert [path.name for path in (tmp_path / "lib").iterdir()] == ["rnn_scratch.wasm"]
    content = (tmp_path / "lib" / "rnn_scratch.wasm").read_bytes()
    assert len(content) <= KILOBYTES
    assert wasm.Module(content).heap > 0  # it loads, and there is nothing that could be imported
    _, said = apart(content)
    manifest = json.loads((SCRATCH / "manifest.json").read_text())
    assert said["signature"] == manifest["signature"]
    assert (said["model"], said["workspaces"], said["metadata"]) == ("rnn_scratch", {}, {})


@pytest.mark.needs("node")
def test_the_example_compiles_the_same_without_rnn_export(tmp_path: Path) -> None:
    file, _ = ship_wasm(SCRATCH, tmp_path)
    script = ROOT / "examples" / "wasm" / "compile.mjs"
    subprocess.run(["node", str(script), str(SCRATCH), str(tmp_path / "other.wasm")], check=True)
    assert apart((tmp_path / "other.wasm").read_bytes()) == apart(file.read_bytes())


def test_what_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(parts: dict[str, bytes], folder: Path) -> Path:
        right = b"-0.011258398f"  # a weight
        assert right in parts["model.c"]
        parts = parts | {"model.c": parts["model.c"].replace(right, b"-0.111258398f", 1)}
        return original(parts, folder)

    original = wasm_build.write_parts
    monkeypatch.setattr(wasm_build, "write_parts", written)
    with pytest.raises(VerificationError, match=r"rnn_scratch.wasm does not agree .* Nothing was written"):
        ship_wasm(SCRATCH, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


def test_a_stack_that_is_too_small_traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(declared: Entry) -> int:
        assert declared.sizes["STACK"] > 1024
        return 1024

    monkeypatch.setattr(wasm_build, "_stack", small)
    with pytest.raises(VerificationError, match="out of bounds memory access"):
        ship_wasm(SCRATCH, tmp_path / "lib")


def test_what_cannot_be_run_here_is_written_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasm, "find_spec", lambda _: None)
    done = CliRunner().invoke(app, ["compile", str(SCRATCH), "--out", str(tmp_path), "--wasm"])
    assert done.exit_code == 0, done.output
    assert "not checked: wasmtime is not installed. Run: pip install wasmtime" in done.output
    assert (tmp_path / "rnn_scratch.wasm").exists()
    assert "passed" not in done.output


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasm_build, "CLANGS", ())
    monkeypatch.setattr(wasm_build, "find_spec", lambda _: None)
    with pytest.raises(
        RuntimeUnavailableError, match=r"no clang with wasm-ld\. Install .* pip install ziglang"
    ):
        ship_wasm(SCRATCH, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


@pytest.mark.exhaustive
def test_zig_is_a_compiler_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang", reason="not installed: ziglang, 100 MB, which CI installs")
    monkeypatch.setattr(wasm_build, "CLANGS", ())
    assert "ziglang" in wasm_build.toolchain().linker
    file, check = ship_wasm(SCRATCH, tmp_path)
    assert check.verdict == PASSED
    assert file.stat().st_size <= KILOBYTES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--static"], "expected one of --shared, --static, --object, --wasm and --aoti, got 2"),
        (["--march", "native"], "expected no --march beside --wasm, got native"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compile", str(SCRATCH), "--out", str(tmp_path), "--wasm", *options])
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(BuildError, match=r"the WebAssembly of model\.c cannot be loaded"):
        wasm.Module(b"\0asm")


def test_a_header_without_a_stack_is_refused(tmp_path: Path) -> None:
    shutil.copy(SCRATCH / "model.c", tmp_path)
    text = (SCRATCH / "model.h").read_text()
    (tmp_path / "model.h").write_text(text.replace("RNN_SCRATCH_STACK_SIZE", "RNN_SCRATCH_OTHER"))
    signature = rnn_export.Bundle.open(SCRATCH).signature
    (tmp_path / "own").mkdir()
    with pytest.raises(BuildError, match="does not say how much stack rnn_scratch_run needs"):
        wasm_build.build(tmp_path / "model.c", tmp_path / "own", signature, {}, Path.read_bytes)


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_agrees(case: ModelCase, exported: Exported, tmp_path: Path) -> None:
    bundle = exported(case)
    if "model.c" in bundle.manifest.files:
        assert ship_wasm(bundle.folder, tmp_path)[1].verdict == PASSED


@pytest.mark.exhaustive
def test_lengths_are_arguments(rnn: ModelCase, exported_ragged: Exported, tmp_path: Path) -> None:
    assert ship_wasm(exported_ragged(rnn).folder, tmp_path)[1].verdict == PASSED


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GENERAL_CALLS)
def test_several_inputs_of_every_dtype_and_contexts_of_any_size(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    call = GENERAL[name]
    bundle = rnn_export.export(call.make().eval(), call.draw(7, 3, 5), tmp_path / "net")
    assert ship_wasm(bundle.folder, tmp_path / "lib")[1].verdict == PASSED


def test_a_guard_that_was_written_to_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = rnn_export.Bundle.open(SCRATCH)
    content = wasm_build.build(SCRATCH / "model.c", tmp_path, bundle.signature, {}, bundle.files.read)
    layout = wasm.Layout(module := wasm.Module(content))
    start = layout.reserve(8)
    layout.check()
    module.write(start + 8, b"\0")
    with pytest.raises(BuildError, match="writes behind the end of an array"):
        layout.check()
