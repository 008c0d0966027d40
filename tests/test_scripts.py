"""The committed bundles, and the scripts that make and use them."""

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.models import RNNScratch
from rnn_export.signature.tree import tree_leaves
from tests.support.paths import ROOT

ARTIFACTS = ROOT / "artifacts"


@pytest.fixture(autouse=True)
def scripts_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, ROOT / "scripts" / script, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


@pytest.mark.exhaustive  # `make artifacts` does the same
@pytest.mark.parametrize("name", ["rnn_scratch", "char_rnn"])
def test_a_committed_bundle_verifies_and_is_what_is_built_today(name: str) -> None:
    before = snapshot(ARTIFACTS / name)
    printed = run("build_artifacts.py", "--only", name)
    assert "every file agrees with eager PyTorch" in printed
    assert "Built anew: the same models, byte for byte." in printed
    assert snapshot(ARTIFACTS / name) == before


def snapshot(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.exhaustive
def test_a_bundle_that_is_not_what_is_built_today_is_named(tmp_path: Path) -> None:
    """The same net with other weights, in a bundle that verifies."""
    model = RNNScratch(num_inputs=16, num_hiddens=32, num_outputs=1)
    example = torch.rand(100, 2, 16), model.begin_state(2, torch.device("cpu"))
    rnn_export.export(model, example, tmp_path / "rnn_scratch")
    before = snapshot(tmp_path)
    command = [
        sys.executable,
        ROOT / "scripts" / "build_artifacts.py",
        "--out",
        tmp_path,
        "--only",
        "rnn_scratch",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for word in ("model.c", "model.onnx", "model.pt", "golden vector T1_B1_initial", "artifacts-replace"):
        assert word in done.stderr, word
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("change", [np.float32(2e-6), np.float32(1e-3)])
def test_golden_vectors_may_differ_as_processors_do(change: np.float32) -> None:
    import build_artifacts

    bundle = Bundle.open(ARTIFACTS / "rnn_scratch")
    other = Bundle.open(ARTIFACTS / "rnn_scratch")
    first, *rest = other.cases
    moved = replace(first, float32=tuple(result + change for result in first.float32))
    vars(other)["golden"] = replace(other.golden, cases=[moved, *rest])
    expected = [] if change < build_artifacts.CLOSE else [f"golden vector {first.name}"]
    assert build_artifacts.differences(bundle, other) == expected


def test_the_seeds_run_is_the_notebooks() -> None:
    signature = Bundle.open(ARTIFACTS / "rnn_scratch").signature
    assert signature.inputs[0].shape == ("time", "batch", 16)
    assert [leaf.shape for leaf in signature.state] == [("batch", 32)]
    assert signature.outputs[0].shape == ("time", "batch", 1)
    assert (100, 2) in {(case.time, case.batch) for case in Bundle.open(ARTIFACTS / "rnn_scratch").cases}


@pytest.mark.exhaustive
def test_digests_do_not_depend_on_hash_seed_or_folder(tmp_path: Path) -> None:
    digests = set()
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        code = f"import build_artifacts as b; b.main(out=b.Path({str(folder)!r}), only=['rnn_scratch'])"
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "scripts"), "PATH": "/usr/bin:/bin"}
        subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=folder, env=environment, capture_output=True
        )
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests.add(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("runtime", ["onnxruntime", "torchscript"])
def test_generated_text_is_what_eager_writes(runtime: str) -> None:
    import build_artifacts
    import generate

    model, _, metadata = build_artifacts.char_rnn()
    vocabulary = metadata["vocabulary"]

    def eager(tokens: np.ndarray, state: tuple[np.ndarray, ...] | None):
        start = (
            model.begin_state(1, torch.device("cpu"))
            if state is None
            else tuple(map(torch.from_numpy, state))
        )
        with torch.no_grad():
            logits, state = model(torch.from_numpy(tokens), start)
        return logits.numpy(), tuple(leaf.numpy() for leaf in tree_leaves(state))

    prompt = [vocabulary.index(character) for character in "The class "]
    expected = "".join(vocabulary[token] for token in generate.generate(eager, prompt, 400, 0.6, 5))
    text = run("generate.py", "--prompt", "The class ", "--length", 400, "--seed", 5, "--runtime", runtime)
    assert text == f"The class {expected}\n"
    assert len(set(text.split()) & {"the", "of", "is", "a", "to", "in"}) >= 4


def test_random_numbers_are_mulberry32() -> None:
    """The first numbers for seed 1, as the public-domain JavaScript prints them."""
    import generate

    numbers = generate.mulberry32(1)
    assert [round(next(numbers), 12) for _ in range(3)] == [0.627073940588, 0.002735721180, 0.527447039960]


@pytest.mark.exhaustive
def test_training_lowers_the_perplexity(monkeypatch: pytest.MonkeyPatch) -> None:
    import train_char_rnn as trainer
    from rich.console import Console

    torch.manual_seed(0)
    text, held_out = trainer.read_text()
    assert not set(held_out) - set(text)
    vocabulary = "".join(sorted(set(text)))
    model = trainer.build_model(vocabulary)
    tokens, judged = trainer.encode(text, vocabulary), trainer.encode(held_out[:4000], vocabulary)
    before = trainer.perplexity(model, judged)
    log = io.StringIO()
    monkeypatch.setattr(trainer, "UPDATES", 60)
    trainer.train(model, tokens, judged, Console(file=log))
    assert trainer.perplexity(model, judged) < before / 4
    assert log.getvalue().count("held-out perplexity") == trainer.REPORTS + 1
