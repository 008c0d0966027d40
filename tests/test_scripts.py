"""The committed bundles, and the scripts that make and use them."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.signature.tree import tree_leaves
from tests.support.cases import sample
from tests.support.paths import ROOT

ARTIFACTS = ROOT / "artifacts"
MODELS = ["model.pt", "model.onnx", "model.c", "model.h", "variants/loop.onnx"]


@pytest.fixture(autouse=True)
def scripts_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, ROOT / "scripts" / script, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


@pytest.mark.usefixtures("fresh_processes")
@pytest.mark.parametrize("name", ["rnn_scratch", "char_rnn"])
def test_committed_bundles_verify(name: str) -> None:
    assert rnn_export.verify(ARTIFACTS / name).passed


@pytest.mark.parametrize("name", sample(["rnn_scratch", "char_rnn"], "rnn_scratch"))
def test_a_rebuilt_bundle_has_the_same_digests(name: str, tmp_path: Path) -> None:
    """Models are the same bytes on every machine; eager's results may differ in the last bit between CPUs."""
    run("build_artifacts.py", "--out", tmp_path, "--only", name)
    committed, rebuilt = Bundle.open(ARTIFACTS / name), Bundle.open(tmp_path / name)
    for file in MODELS:
        assert rebuilt.manifest.files[file] == committed.manifest.files[file], file
    assert rebuilt.signature == committed.signature
    for one, other in zip(rebuilt.cases, committed.cases, strict=True):
        assert one.name == other.name
        for got, want in zip((one.inputs, *one.float64), (other.inputs, *other.float64), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_seeds_run_is_the_notebooks() -> None:
    signature = Bundle.open(ARTIFACTS / "rnn_scratch").signature
    assert signature.inputs.shape == ("time", "batch", 16)
    assert [leaf.shape for leaf in signature.state] == [("batch", 32)]
    assert signature.outputs.shape == ("time", "batch", 1)
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
