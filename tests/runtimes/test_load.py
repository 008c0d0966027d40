"""A loaded bundle runs and streams like the module, in every runtime."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import rnn_export
from rnn_export.bundle.bundle import describe_files
from rnn_export.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_export.exclusive import without_warnings
from rnn_export.runtimes.table import RUNTIMES, Runner
from rnn_export.signature.tree import tree_build, tree_leaves
from tests.support.cases import CASES, ModelCase, each_case
from tests.support.exports import Exported
from tests.support.manifests import rewrite

# C and model.pt2, which are not written of every model, have tests of their own.
OWN_TESTS = ("c", "torch_export")
each_runtime = pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name not in OWN_TESTS])


def eager(case: ModelCase, runner: Runner, inputs: np.ndarray) -> list[np.ndarray]:
    model, _ = case.build()
    names = [leaf.name for leaf in runner.signature.state]
    leaves = dict(zip(names, map(torch.from_numpy, runner.initial_state(inputs.shape[1])), strict=True))
    with torch.no_grad():
        result = model(torch.from_numpy(inputs), tree_build(runner.signature.tree, leaves.__getitem__))
    return [tensor.numpy() for tensor in tree_leaves(result)]


@each_case
@each_runtime
def test_no_state_is_the_initial_state(case: ModelCase, runtime: str, exported: Exported) -> None:
    runner = rnn_export.load(exported(case).folder, runtime)
    inputs = exported(case).cases[-1].inputs[0][:, :4].repeat(3, axis=0)
    outputs, state = runner(inputs)
    assert isinstance(state, tuple)
    for got, want in zip((outputs, *state), eager(case, runner, inputs), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case.streamable], ids=lambda case: case.name)
@each_runtime
def test_feeding_the_state_back_streams(case: ModelCase, runtime: str, exported: Exported) -> None:
    runner = rnn_export.load(exported(case).folder, runtime)
    inputs = next(vector.inputs[0] for vector in exported(case).cases if vector.name == "T7_B2_random")
    whole, last = runner(inputs)
    state = None
    for step in range(len(inputs)):
        outputs, state = runner(inputs[step : step + 1], state)
        np.testing.assert_allclose(outputs[0], whole[step], atol=2e-6, rtol=1e-5)
    for got, want in zip(state, last, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


@each_runtime
def test_the_callers_arrays_are_not_changed(rnn: ModelCase, runtime: str, exported: Exported) -> None:
    runner = rnn_export.load(exported(rnn).folder, runtime)
    inputs, state = np.ones((4, 2, 4), np.float32), (np.ones((2, 6), np.float32),)
    for array in (inputs, *state):
        array.setflags(write=False)
    first = runner(inputs, state)
    second = runner(inputs, state)
    assert (inputs == 1).all()
    assert (state[0] == 1).all()
    assert (first[0] == second[0]).all()
    assert (first[1][0] == second[1][0]).all()


class InPlace(torch.nn.Module):
    """Changes its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.read = torch.nn.Linear(2, 3)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = []
        for x_t in x.mul_(0.5):
            h.add_(self.read(x_t)).tanh_()
            outputs.append(h.clone())
        return torch.stack(outputs), h


@pytest.fixture(scope="module")
def in_place(tmp_path_factory: pytest.TempPathFactory) -> rnn_export.Bundle:
    torch.manual_seed(0)
    example = torch.randn(4, 2, 2), torch.zeros(2, 3)
    folder = tmp_path_factory.mktemp("in_place") / "net"
    return rnn_export.export(InPlace().eval(), example, folder, pt2=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_module_that_changes_its_arguments_gives_the_same_twice(
    runtime: str, in_place: rnn_export.Bundle
) -> None:
    runner = rnn_export.load(in_place.folder, runtime)
    inputs, state = np.ones((3, 2, 2), np.float32), np.ones((2, 3), np.float32)
    (one, after), (two, again) = runner(inputs, (state,)), runner(inputs, (state,))
    assert (inputs == 1).all()
    assert (state == 1).all()
    assert np.array_equal(one, two)
    assert np.array_equal(after[0], again[0])


def test_a_file_of_such_a_module_does_not_change_them_in_another_program(in_place: rnn_export.Bundle) -> None:
    with without_warnings(DeprecationWarning):
        module = torch.jit.load(str(in_place.folder / "model.pt"))
    inputs, state = torch.ones(3, 2, 2), torch.ones(2, 3)
    module(inputs, state)
    assert (inputs == 1).all()
    assert (state == 1).all()


@each_runtime
def test_strided_arrays_are_taken(rnn: ModelCase, runtime: str, exported: Exported) -> None:
    runner = rnn_export.load(exported(rnn).folder, runtime)
    inputs = np.random.default_rng(0).standard_normal((4, 2, 9)).astype(np.float32)
    strided = inputs[::2, :, 1:9:2]
    np.testing.assert_array_equal(runner(strided)[0], runner(strided.copy())[0])


@pytest.mark.parametrize(
    ("inputs", "state", "message"),
    [
        (np.zeros((5, 2, 3), np.float32), None, r"argument 'inputs': expected float32 \[time, batch, 4\]"),
        (np.zeros((5, 2, 4)), None, "got float64 .* Convert it to float32"),
        (
            np.zeros((5, 2, 4), np.float32),
            (np.zeros((3, 6), np.float32),),
            r"'state_0': expected float32 \[batch=2, 6\]",
        ),
        (np.zeros((5, 2, 4), np.float32), (), r"'state': expected 1 tensors \(state_0\), got 0"),
        (np.zeros((0, 2, 4), np.float32), None, "at least one time step"),
    ],
)
def test_a_wrong_call_is_named(
    rnn: ModelCase, exported: Exported, inputs: np.ndarray, state: tuple[np.ndarray, ...] | None, message: str
) -> None:
    runner = rnn_export.load(exported(rnn).folder)
    with pytest.raises(InputError, match=message):
        runner(inputs, state)


def test_an_unknown_runtime_is_named(rnn: ModelCase, exported: Exported) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"expected 'onnxruntime' or .*, got 'tensorrt'"):
        rnn_export.load(exported(rnn).folder, "tensorrt")


def test_a_missing_package_is_named(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(rnn).folder
    monkeypatch.setattr("rnn_export.runtimes.table.find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailableError, match=r"needs the package 'torch'. Run: pip install torch"):
        rnn_export.load(folder, "torchscript")


def test_onnxruntime_needs_no_torch(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnx'] = None\n"
        "import numpy, rnn_export\n"
        f"runner = rnn_export.load({str(exported(rnn).folder)!r})\n"
        "print(runner(numpy.zeros((5, 2, 4), 'float32'))[0].shape)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (finished.stdout, finished.returncode) == ("(5, 2, 3)\n", 0), finished.stderr


@pytest.mark.parametrize("runtime", ["onnxruntime", "reference"])
def test_a_file_that_fails_when_called_is_told_with_its_operator(
    rnn: ModelCase, runtime: str, exported: Exported, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    model = onnx.load(folder / "model.onnx")
    last = model.graph.output[-1].name
    node = next(node for node in model.graph.node if last in node.output)
    node.output[list(node.output).index(last)] = "whole"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((), 1000), "far"))
    pick = onnx.helper.make_node("Gather", ["whole", "far"], ["picked"], name="beyond")
    model.graph.node.extend([pick, onnx.helper.make_node("Add", ["picked", "whole"], [last])])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    rewrite(folder, lambda manifest: manifest.update(files=describe_files(folder)))
    runner = rnn_export.load(folder, runtime)
    with pytest.raises(BundleError, match=r"model\.onnx.*Gather.*beyond.*Check the bundle"):
        runner(np.ones((3, 2, 4), np.float32))


class Beyond(torch.nn.Module):
    """Fails when it is called."""

    def forward(self, inputs: torch.Tensor, state: tuple[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs[:, :, 1000], state[0]


class Other(torch.nn.Module):
    """Takes something else."""

    def forward(self, inputs: torch.Tensor, state: int) -> tuple[torch.Tensor, int]:
        return inputs, state


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Beyond, r", 'return .*inputs.*1000.*': expected a result, got RuntimeError: select\(\): index 1000"),
        (Other, r": expected a result, got forward\(\) Expected a value of type 'int' for argument 'state'"),
    ],
)
def test_an_archive_that_fails_when_called_is_told_with_its_line(
    net: type[torch.nn.Module], told: str, rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    with without_warnings(DeprecationWarning):
        torch.jit.script(net()).save(tmp_path / "model.pt")
    call = RUNTIMES["torchscript"].start(tmp_path / "model.pt", exported(rnn).signature)
    with pytest.raises(BundleError, match=rf"^model\.pt{told}"):
        call(np.ones((3, 2, 4), np.float32), np.ones((2, 6), np.float32))
