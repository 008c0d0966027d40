"""Each known trick on who reads a bundle is refused by name, whoever reads it, and within a second."""

import ast
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import process_time

import pytest

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import BundleError, RnnExportError
from tests.bundle.untrusted import attacks
from tests.support.paths import ARTIFACTS

BUNDLE = ARTIFACTS / "rnn_scratch"
TRICKS = sorted(path.stem for path in Path(attacks.__file__).parent.glob("[!_]*.py"))
READERS = [Bundle.open, rnn_export.verify, rnn_export.load]
PACKAGE = Path(rnn_export.__file__).parent
SECOND = 1.0
TRIES = 3  # what a long process of tests does beside it is not in all of them


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(BUNDLE, tmp_path / "bundle")


def test_the_bundle_itself_is_taken(copy: Path) -> None:
    attacks.edit(copy, lambda manifest: None)
    attacks.edit_index(copy, lambda index: None)
    attacks.edit_onnx(copy, lambda model: None)
    attacks.put(copy, "more/weights.bin", bytes(16))
    attacks.put_pt2(copy)
    rnn_export.load(copy)
    rnn_export.load(copy, "torchscript")


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_refused(trick: str, copy: Path) -> None:
    module = import_module(f"tests.bundle.untrusted.attacks.{trick}")
    module.attack(copy)
    for read in READERS:
        assert any(refused_in_time(read, copy, module.REFUSED) for _ in range(TRIES))


def refused_in_time(read: Callable[[Path], object], folder: Path, words: str) -> bool:
    """Say whether a bundle is refused within a second, a collection of the tests' garbage apart."""
    begun = process_time()
    with pytest.raises(BundleError, match=words):
        read(folder)
    return process_time() - begun < SECOND


def test_a_pt_is_not_opened_before_its_hash_matched(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def opened(*_: object, **__: object) -> None:
        pytest.fail("was opened")

    monkeypatch.setattr(torch.jit, "load", opened)
    content = (copy / "model.pt").read_bytes()
    (copy / "model.pt").write_bytes(content[:-1] + b"\1")
    with pytest.raises(BundleError, match=r"model.pt has sha256"):
        rnn_export.load(copy, "torchscript")


@pytest.mark.parametrize("runtime", ["onnxruntime", "reference", "torchscript", "c"])
def test_what_is_loaded_is_what_was_hashed(runtime: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is exchanged after the bundle was opened is not loaded."""
    bundle = Bundle.open(copy)
    for path in copy.rglob("model.*"):
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    monkeypatch.setattr(Bundle, "open", lambda folder: bundle)
    with pytest.raises(BundleError, match=r"model\.\w+ has sha256"):
        rnn_export.load(copy, runtime)


CALLS = ("torch.load", "pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "eval", "exec")


def called(tree: ast.AST) -> set[str]:
    """Name what a module imports, and what it calls with what stands before the dot."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.name.split(".")[0] for alias in node.names}
            names |= {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
        elif isinstance(node, ast.Call):
            names.add(ast.unparse(node.func))
    return names


def test_nothing_unpickles() -> None:
    """No pickle; the files of numpy and of PyTorch only where nothing of it is run."""
    assert called(ast.parse("import pickle\ntorch.load(x)")) == {"pickle", "torch.load"}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert not called(tree) & {*CALLS} - {"torch.load"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "numpy.load"}:
                assert "allow_pickle=False" in ast.unparse(node), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path


def no_operator(model: object) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_operator, "model.onnx cannot be loaded in ONNX Runtime: .*NoSuchOperator"),
        (lambda model: model.graph.input[0].ClearField("type"), "model.onnx(, the call| cannot be loaded)"),
        (lambda model: model.graph.output.pop(), "model.onnx, the call: expected .*state_0_out"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(
    copy: Path, change: Callable[[object], object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    attacks.edit_onnx(copy, change)
    with pytest.raises(RnnExportError, match=message):
        rnn_export.load(copy)
    assert not capfd.readouterr().out


def test_an_archive_that_is_no_program_is_named(copy: Path) -> None:
    attacks.put_pt(copy, attacks.zipped(("model/data.pkl", b"."), ("model/version", b"3\n")))
    with pytest.raises(BundleError, match=r"model.pt cannot be loaded in PyTorch: "):
        rnn_export.load(copy, "torchscript")
