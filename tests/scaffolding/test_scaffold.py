"""The examples are what scaffold writes, and what it writes runs bundles that nobody made for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import rnn_export
from rnn_export import scaffold
from rnn_export.bundle.bundle import Bundle, manifest_text
from rnn_export.bundle.golden import NON_FINITE
from rnn_export.cli.main import app
from rnn_export.errors import BundleError, ScaffoldError
from rnn_export.scaffolding.hosts import HOSTS, fitting_hosts
from rnn_export.scaffolding.models import described
from rnn_export.scaffolding.scaffold import MODELS, REPOSITORY, examples
from rnn_export.signature.tensors import InputSpec
from tests.support import odd_values
from tests.support.cases import CALL_CASES, CASES
from tests.support.exports import Exported
from tests.support.general_calls import GENERAL
from tests.support.paths import ROOT
from tests.support.sources import sources

COMMITTED = [ROOT / "artifacts" / name for name in ("char_rnn", "rnn_scratch")]
# Rows first with two leaves, the last step alone, token ids, a state that begins elsewhere, a deep one.
UNUSUAL = ["torch_lstm_rows_first", "classifier", "tagger", "starts_elsewhere", "deep_mixed", "list_state"]
NAMED = {case.name: case for case in [*CASES, *CALL_CASES]}

CHIPS = ("arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "qemu-system-arm", "qemu-system-riscv32", "make")

each_host = pytest.mark.parametrize("host", HOSTS)


def test_every_example_is_a_host() -> None:
    assert {path.name for path in examples().iterdir() if path.is_dir()} == {*HOSTS}


SHARED = ("compile.mjs", "generate.js", "golden.js", "recurrent.js", "tensors.js")


@pytest.mark.parametrize("name", SHARED)
def test_the_page_has_webassembly_as_its_own_example_has_it(name: str) -> None:
    own, other = (ROOT / "examples" / host / name for host in ("wasm", "browser"))
    assert own.read_bytes() == other.read_bytes()


@each_host
def test_examples_are_what_scaffold_writes(host: str, tmp_path: Path) -> None:
    written = scaffold(COMMITTED, host, tmp_path / "new")
    assert sources(written) == sources(ROOT / "examples" / host)
    assert sorted(path.name for path in (written / MODELS).iterdir()) == ["char_rnn", "rnn_scratch"]
    for bundle in COMMITTED:
        assert rnn_export.Bundle.open(written / MODELS / bundle.name).cases


@each_host
def test_an_example_says_nothing_of_the_models_it_is_tested_with(host: str) -> None:
    of_models = {
        *HOSTS[host].generated,
        *(file.format(bundle.name) for file in HOSTS[host].each for bundle in COMMITTED),
    }
    for name, content in sources(ROOT / "examples" / host).items():
        if name not in of_models and name != "README.md" and not name.startswith(REPOSITORY):
            assert not any(bundle.name.encode() in content for bundle in COMMITTED), name


@each_host
def test_a_readme_is_short_and_names_the_commands(host: str) -> None:
    folder = ROOT / "examples" / host
    text = (folder / "README.md").read_text()
    assert len(text.splitlines()) <= 80
    assert max(map(len, text.splitlines())) <= 160
    commands = re.findall(r"^    \$ \./(\S+)$", text, re.MULTILINE)
    assert commands == ["build.sh", "ci.sh"]
    assert all(os.access(folder / command, os.X_OK) for command in commands)


@each_host
def test_a_readme_tells_of_the_models_that_were_given(host: str, machine: Path, tmp_path: Path) -> None:
    text = (scaffold([machine], host, tmp_path / "new") / "README.md").read_text()
    assert not any(bundle.name in text for bundle in COMMITTED)
    assert "text" not in text.partition("## Good to know")[0]
    signature = Bundle.open(machine).signature
    for spec in (*signature.inputs, *signature.state, *signature.outputs):
        assert f"`{spec.name}` | {spec.dtype} | [{', '.join(map(str, spec.shape))}]" in text
    use = text.partition("## Use")[2].partition("## Check")[0]
    assert all(re.search(rf"\b{spec.name}\b", use) for spec in signature.inputs)
    numbers = sum(tensor.size for tensor in described(Bundle.open(machine)).inputs)
    assert set(re.findall(r'echo "([0 ]+)"', use)) <= {" ".join(["0"] * numbers)}


@each_host
def test_programs_that_write_text_are_for_models_of_text(host: str, machine: Path, tmp_path: Path) -> None:
    other = sources(scaffold([machine], host, tmp_path / "new"))
    own = sources(scaffold(COMMITTED, host, tmp_path / "text"))
    for path in HOSTS[host].text:
        assert any(name.startswith(path) for name in own)
        assert not any(name.startswith(path) for name in other)


def run(command: Path | str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    line = [str(command), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def unusual(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of every kind that an example takes."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in UNUSUAL:
        shutil.copytree(exported(NAMED[name]).folder, folder / name)
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with inputs, outputs and leaves of every dtype, in an order of its own, and a context."""
    torch.manual_seed(0)
    call = GENERAL["a machine"]
    folder = tmp_path_factory.mktemp("general") / "machine"
    return rnn_export.export(call.make().eval(), call.draw(7, 3, 5), folder).folder


def golden(host: str, bundles: list[Path], folder: Path) -> str:
    """Scaffold a host for some bundles, run its ``ci.sh``, and give what that prints."""
    done = run(scaffold(bundles, host, folder) / "ci.sh")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.needs("cc", "make")
def test_c_runs_several_inputs_and_outputs(machine: Path, tmp_path: Path) -> None:
    assert "machine: " in golden("c", [machine], tmp_path / "new")


@pytest.mark.needs(*CHIPS)
def test_a_microcontroller_runs_several_inputs_and_outputs(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOARDS", "mps2-an386")
    printed = golden("mcu", [machine], tmp_path / "new")
    assert re.search(r"^machine \(mps2-an386\): .* [1-9]\d+ instructions per step$", printed, re.MULTILINE)


@pytest.mark.exhaustive
def test_python_runs_several_inputs_and_outputs(machine: Path, tmp_path: Path) -> None:
    folder = scaffold([machine], "python", tmp_path / "new")
    done = run(sys.executable, folder / "golden.py", folder / MODELS / "machine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == 2
    wrong = run(sys.executable, folder / "errors.py", folder / MODELS / "machine")
    assert wrong.returncode == 0, wrong.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["a mask of the memory's length", "flattened", "an agent"])
def test_python_runs_contexts_of_any_size_and_flat_outputs(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    call = GENERAL[name]
    bundle = rnn_export.export(call.make().eval(), call.draw(7, 3, 5), tmp_path / "net")
    folder = scaffold([bundle.folder], "python", tmp_path / "new")
    done = run(sys.executable, folder / "golden.py", folder / MODELS / "net")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == 2
    if bundle.signature.free_sizes:
        with pytest.raises(ScaffoldError, match=r"contexts of known sizes .* got memory_length"):
            scaffold([bundle.folder], "c", tmp_path / "other")


@pytest.mark.exhaustive
@pytest.mark.needs("cc", "make", "cargo", "go", "javac", *CHIPS)
def test_programs_around_c_bring_the_workspace_that_a_large_net_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_export.backends.c.plan.room.STACK", 0)  # so that a small one is large
    net = torch.nn.RNN(3, 2)
    bundle = rnn_export.export(net.eval(), (torch.randn(5, 2, 3),), tmp_path / "net", quick=True)
    assert "_BATCH_WORKSPACE_SIZE" in (bundle.folder / "model.h").read_text()
    monkeypatch.setenv("BOARDS", "mps2-an386 riscv-virt")
    for host in ("c", "rust", "go", "java", "mcu"):
        folder = scaffold([bundle.folder], host, tmp_path / host)
        done = run(folder / "ci.sh", folder / MODELS)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "vectors whole" in done.stdout
        assert re.search(r"bytes for each row|workspace, bytes", (folder / "README.md").read_text())


@pytest.mark.exhaustive
@pytest.mark.needs("cc", "make")
def test_infinities_whole_numbers_and_truth_values(tmp_path: Path) -> None:
    folders = []
    for name in odd_values.NETS:
        net = odd_values.built(name)
        example = torch.randn(6, 2, 4), net.begin_state(2, torch.device("cpu"))
        folders.append(rnn_export.export(net, example, tmp_path / name).folder)
    assert golden("c", folders, tmp_path / "c").count("vectors whole") == len(folders)
    folder = scaffold(folders, "python", tmp_path / "python")
    done = run(sys.executable, folder / "golden.py", *(folder / MODELS).iterdir())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == 2 * len(folders)


@pytest.mark.needs("cc", "make")
def test_a_name_that_c_does_not_know(tmp_path: Path) -> None:
    case = NAMED["gru"]
    bundle = rnn_export.export(*case.build(), tmp_path / "a-net 2.0")
    folder = scaffold([bundle.folder], "c", tmp_path / "new")
    done = run(folder / "ci.sh")
    assert done.returncode == 0, done.stderr
    ordinary = sum(case.values != NON_FINITE for case in bundle.cases)
    assert f"a_net_2_0: {ordinary} vectors whole" in done.stdout


@pytest.mark.exhaustive
@pytest.mark.needs("cc", "make")
def test_c_runs_bundles_of_every_kind(unusual: Path, tmp_path: Path) -> None:
    folder = scaffold([unusual / name for name in UNUSUAL], "c", tmp_path / "new")
    done = run(folder / "ci.sh")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == len(UNUSUAL)


@pytest.mark.exhaustive
@pytest.mark.needs(*CHIPS)
def test_microcontrollers_run_bundles_of_every_kind(unusual: Path, tmp_path: Path) -> None:
    folder = scaffold([unusual / name for name in UNUSUAL], "mcu", tmp_path / "new")
    done = run(folder / "ci.sh")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == len(UNUSUAL) * len([*(folder / "boards").glob("*.mk")])


@pytest.mark.exhaustive
def test_python_runs_bundles_of_every_kind(unusual: Path, tmp_path: Path) -> None:
    folder = scaffold([unusual / name for name in UNUSUAL], "python", tmp_path / "new")
    done = run(sys.executable, folder / "golden.py", *(folder / MODELS).iterdir())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vectors whole") == 2 * len(UNUSUAL)


def test_the_command(exported: Exported, tmp_path: Path) -> None:
    bundle = exported(NAMED["gru"]).folder
    arguments = ["scaffold", str(bundle), "--host", "rust", "--out", str(tmp_path / "new")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "ci.sh" in done.output
    assert "gru_run" in (tmp_path / "new" / "src" / "models.rs").read_text()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "expected no such path" in " ".join(again.output.split())


@pytest.mark.parametrize(
    ("names", "host", "message"),
    [
        (["gru"], "cobol", "host: expected c, .* got 'cobol'"),
        (["gru", "gru"], "c", "a name of its own for each, got gru, gru"),
        (["rnn_float64"], "node", "expected tensors of float32, int64 and bool, got float64"),
        (["bidirectional"], "node", "expected a net that can be streamed"),
    ],
)
def test_what_no_example_runs_is_refused(
    names: list[str], host: str, message: str, exported: Exported, tmp_path: Path
) -> None:
    with pytest.raises(ScaffoldError, match=message):
        scaffold([exported(NAMED[name]).folder for name in names], host, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_contexts_of_several_free_sizes_are_for_arrays_that_know_theirs(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(NAMED["gru"])
    image = InputSpec("image", "float32", ("batch", "height", "width"))
    signature = replace(bundle.signature, inputs=(*bundle.signature.inputs, image))
    changed = replace(bundle, manifest=replace(bundle.manifest, signature=signature))
    assert {*fitting_hosts(bundle)} == {*HOSTS}
    assert fitting_hosts(changed) == ["python", "triton"]
    monkeypatch.setattr(Bundle, "open", lambda _: changed)
    words = "expected contexts of one free size, got image with height, width. docs/embedding.md tells"
    with pytest.raises(ScaffoldError, match=words):
        scaffold([bundle.folder], "node", tmp_path / "new")


def test_contexts_of_one_free_size_are_for_arrays_that_know_their_length(exported: Exported) -> None:
    bundle = exported(NAMED["gru"])
    memory = InputSpec("memory", "float32", ("batch", "places", 3))
    signature = replace(bundle.signature, inputs=(*bundle.signature.inputs, memory))
    changed = replace(bundle, manifest=replace(bundle.manifest, signature=signature))
    around_c = {"c", "mcu", "rust", "go", "java", "service-cpp"}
    assert {*fitting_hosts(changed)} == {*HOSTS} - around_c


@pytest.mark.exhaustive
@pytest.mark.needs("clang", "wasm-ld", "node")
@pytest.mark.parametrize("name", ["a mask of the memory's length", "flattened", "a machine"])
def test_webassembly_runs_contexts_of_a_free_size_and_every_dtype(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    call = GENERAL[name]
    bundle = rnn_export.export(call.make().eval(), call.draw(7, 3, 5), tmp_path / "net")
    folder = scaffold([bundle.folder], "wasm", tmp_path / "new")
    site = folder / "build" / "site" / "models"
    shutil.copytree(bundle.folder / "golden", site / "net" / "golden")
    (site / "index.json").write_text(json.dumps([{"name": "net"}]))
    built = run("node", folder / "compile.mjs", folder / MODELS / "net", site / "net" / "model.wasm")
    assert built.returncode == 0, built.stderr
    done = run("node", folder / "node" / "golden.mjs", site.parent)
    assert done.returncode == 0, done.stderr
    assert "vectors whole" in done.stdout


@pytest.mark.exhaustive
def test_lengths_are_refused(exported_ragged: Exported, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="expected a net without lengths"):
        scaffold([exported_ragged(NAMED["gru"]).folder], "node", tmp_path / "new")


def test_a_bundle_without_the_file_is_refused_with_the_reason(exported: Exported, tmp_path: Path) -> None:
    bundle = tmp_path / "gru"
    shutil.copytree(exported(NAMED["gru"]).folder, bundle)
    (bundle / "model.c").unlink()
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["model.c"]
    manifest["verification"]["left_out"] = ["model.c: Foo has no rule"]
    (bundle / "manifest.json").write_text(manifest_text(manifest))
    for host in ("c", "rust"):
        with pytest.raises(ScaffoldError, match=r"has no model.c: model.c: Foo has no rule"):
            scaffold([bundle], host, tmp_path / "new")


def test_a_changed_bundle_is_refused(exported: Exported, tmp_path: Path) -> None:
    shutil.copytree(exported(NAMED["gru"]).folder, tmp_path / "changed")
    with (tmp_path / "changed" / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"model.onnx has .* bytes, expected"):
        scaffold([tmp_path / "changed"], "c", tmp_path / "new")
