"""The command line, as a person and as a script use it."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from rnn_export.models import RNNScratch
from tests.support.cases import CPU, ModelCase, each_case
from tests.support.exports import Exported

runner = CliRunner()


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command, as a terminal of 80 columns sees it."""
    command = Path(sys.executable).with_name("rnn-export")
    return subprocess.run(
        [command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_export_verify_inspect(seed_file: Path) -> None:
    folder = seed_file.parent
    export = run("export", "seed_run.py:factory", "--out", "bundle", cwd=folder)
    assert export.returncode == 0, export.stderr
    assert export.stderr == ""
    assert export.stdout.count("✓ passed") == 10
    assert "…" not in export.stdout
    assert "bundle: every file agrees with eager PyTorch" in export.stdout
    verify = run("verify", "bundle", cwd=folder)
    assert (verify.returncode, verify.stderr) == (0, "")
    fastest = "which file is the fastest: rnn-export bench bundle"
    ended = f"{fastest}; to read: bundle/README.md, bundle/report.html\n"
    assert export.stdout == verify.stdout + ended
    inspect = run("inspect", "bundle", cwd=folder)
    assert inspect.returncode == 0
    for part in ("seed_run.RNNScratch", "float32 [time, batch, 16]", "state_0_out", "model.onnx", "torch 2."):
        assert part in inspect.stdout


@pytest.mark.exhaustive
def test_export_says_nothing_before_the_table(seed_file: Path) -> None:
    export = run("export", f"{seed_file}:factory", "--out", seed_file.parent / "bundle")
    assert "File" in export.stdout.splitlines()[2]


@pytest.mark.exhaustive
def test_export_json_is_for_scripts(seed_file: Path) -> None:
    export = run("export", f"{seed_file}:factory", "--out", seed_file.parent / "bundle", "--json")
    report = json.loads(export.stdout)
    assert report["passed"] is True
    assert {check["verdict"] for check in report["checks"]} == {"passed"}


@pytest.mark.exhaustive
def test_a_module_of_the_current_folder_is_found(seed_file: Path) -> None:
    export = run("export", "seed_run:factory", "--out", "bundle", "--name", "seed", cwd=seed_file.parent)
    assert export.returncode == 0, export.stderr
    assert rnn_export.Bundle.open(seed_file.parent / "bundle").manifest.name == "seed"


@pytest.mark.exhaustive
def test_a_saved_script_module_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = RNNScratch(4, 6, 3, sigma=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(net, example_inputs=[(torch.randn(5, 2, 4), net.begin_state(2, CPU))])
        scripted.save(str(tmp_path / "net.pt"))
    out = tmp_path / "bundle"
    result = run("export", tmp_path / "net.pt", "--shape", "9,3,4", "--out", out)
    assert result.returncode == 0, result.stderr
    bundle = rnn_export.Bundle.open(out)
    assert bundle.manifest.model["class"] == "RNNScratch"
    assert bundle.signature.streamable
    assert bundle.manifest.form in ("gated", "operator", "scan")
    inputs = torch.randn(4, 2, 4)
    outputs, _ = rnn_export.load(out)(inputs.numpy())
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(outputs), net(inputs, net.begin_state(2, CPU))[0])


@pytest.mark.exhaustive
def test_a_saved_script_module_needs_a_shape(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"nothing")
    result = run("export", tmp_path / "net.pt", "--out", tmp_path / "bundle")
    assert result.returncode == 1
    assert "expected sizes such as 100,2,16, got none. Pass --shape" in " ".join(result.stderr.split())
    result = run("export", tmp_path / "net.pt", "--shape", "1,2,3", "--out", tmp_path / "bundle")
    assert result.returncode == 1
    assert "Name a saved ScriptModule" in " ".join(result.stderr.split())
    result = run("export", "nets:factory", "--shape", "1,2,3", "--out", tmp_path / "bundle")
    assert "shape: expected a FILE.pt to try it on" in " ".join(result.stderr.split())


@each_case
def test_inspect_shows_every_bundle(case: ModelCase, exported: Exported) -> None:
    folder = exported(case).folder
    shown = runner.invoke(app, ["inspect", str(folder), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout) == json.loads((folder / "manifest.json").read_text())
    assert runner.invoke(app, ["inspect", str(folder)]).exit_code == 0


def test_inspect_shows_what_the_passes_did(rnn: ModelCase, exported: Exported) -> None:
    shown = run("inspect", exported(rnn).folder, "--passes")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "…" not in shown.stdout
    lines = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    [fused] = [line for line in lines if line[0] == "recognize"]
    assert {"RNN:0→1,", "Scan:1→0,"} <= set(fused)
    assert ["rnn_as_gru", "GRU:0→1,", "RNN:1→0"] in lines
    assert {"step", "scan", "operator", "gated"} <= {line[-1] for line in lines}


def test_inspect_says_if_there_were_no_passes(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    from rnn_export.bundle.bundle import manifest_text

    folder = shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(manifest_text({**manifest, "passes": []}))
    shown = runner.invoke(app, ["inspect", str(folder), "--passes"])
    assert shown.exit_code == 0
    assert "No pass was run: the step was not traced." in shown.stdout


def test_verify_fails_with_status_1_on_a_changed_file(
    rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "model.pt").write_bytes(b"")
    failed = run("verify", folder)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: ")
    assert "model.pt has 0 bytes" in failed.stderr


def test_verify_fails_with_status_1_on_a_wrong_file(
    rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    from rnn_export.bundle.bundle import describe_files, manifest_text

    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    failed = run("verify", folder)
    assert failed.returncode == 1
    assert failed.stdout.count("✗ failed") == 2
    assert "verification failed: " in failed.stdout
    assert "model.onnx in onnxruntime: the process ended with status 1" in failed.stdout
    as_json = json.loads(run("verify", folder, "--json").stdout)
    assert as_json["passed"] is False


def test_warnings_are_one_line_each(seed_file: Path) -> None:
    with seed_file.open("a") as file:
        file.write("\n\ndef nan():\n    model, example = factory()\n")
        file.write("    model.b_q.data[0] = float('nan')\n    return model, example\n")
    export = run("export", f"{seed_file}:nan", "--out", seed_file.parent / "bundle")
    assert export.returncode == 0
    assert export.stderr.startswith("warning: NaN in the parameters b_q.")
    found = export.stderr.splitlines()
    assert len(found) == 2
    assert found[1].startswith("warning: No golden vector notices a change of 1 % in W_hq: ")


def test_usage_errors_have_status_2() -> None:
    assert run("export").returncode == 2
    assert run("verify", "--frobnicate").returncode == 2


COMMANDS = (
    "export",
    "sign",
    "verify",
    "inspect",
    "optimize",
    "bench",
    "report",
    "compile",
    "cache",
    "scaffold",
)


def helped(*arguments: str) -> str:
    shown = runner.invoke(app, [*arguments, "--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    return " ".join(shown.stdout.replace("│", " ").split())


def test_help_and_version() -> None:
    assert all(f" {command} " in helped() for command in COMMANDS)
    assert "--install-completion" in helped()
    assert run("--version").stdout == f"rnn-export {rnn_export.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example_and_flags_that_read_as_flags(command: str) -> None:
    shown = helped(command)
    assert f"Example: rnn-export {command} " in shown
    assert "<bool>" not in shown


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "cache"])
def test_the_example_of_a_command_is_one(command: str) -> None:
    """It is taken as far as the files that it names, which are not there."""
    [example] = re.findall(rf"Example: rnn-export ({command} .*)", helped(command))
    ended = runner.invoke(app, example.split())
    assert ended.exit_code == 1, ended.output
    assert any(words in ended.output for words in ("no such", "No such")), ended.output


def test_help_says_what_stands_for_what_is_left_out() -> None:
    assert "[default: (the folder's name)]" in helped("export")
    assert "[default: (DIR.sig)]" in helped("verify")
    assert "[default: (that of IN.onnx)]" in helped("optimize")
    march = helped("compile")
    assert "native is this one: the fastest here, it may not run elsewhere" in march
    assert "[default: (code for several, chosen at run time)]" in march
