"""Calls with several inputs and outputs: every file takes and gives what the module does, at other sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_C, MODEL_PT2
from rnn_export.errors import InputError, ModelError
from rnn_export.signature.tree import tree_leaves
from tests.support.c_programs import needs_compiler
from tests.support.general_calls import GENERAL, General

EVERY_DAY = ("an agent", "a decoder with attention", "packed", "flattened")
SIZES = ((1, 1, 1), (4, 2, 6), (19, 6, 3))  # time steps, rows, and places of what is attended to
TABLE = [
    pytest.param(call, id=name, marks=[] if name in EVERY_DAY else pytest.mark.exhaustive)
    for name, call in GENERAL.items()
]


def exported(call: General, folder: Path, *, pt2: bool = False) -> tuple[torch.nn.Module, Bundle]:
    torch.manual_seed(0)
    model = call.make().eval()
    return model, rnn_export.export(model, call.draw(7, 3, 5), folder, pt2=pt2)


def arrays_of(value: Any) -> list[np.ndarray]:
    return [leaf.numpy() for leaf in tree_leaves(value)]


def named(bundle: Bundle, given: tuple[Any, ...]) -> dict[str, np.ndarray]:
    """Name what goes into a file, whose inputs stand as the module's own arguments do."""
    names = bundle.signature.file_inputs
    arrays = dict(zip(names, arrays_of(given), strict=False))  # a state that stays inside is none of them
    first = bundle.signature.sequence
    starts = bundle.signature.initial_state(arrays[first.name].shape[first.batch_axis])
    return dict(zip([leaf.name for leaf in bundle.signature.state], starts, strict=True)) | arrays


@pytest.mark.parametrize("call", TABLE)
def test_every_file_takes_and_gives_what_the_module_does(call: General, tmp_path: Path) -> None:
    model, bundle = exported(call, tmp_path / "b", pt2=True)
    signature = bundle.signature
    roles = tuple(f"{spec.name}: {spec.role}" for spec in signature.inputs)
    assert (*roles, *(leaf.name for leaf in signature.state)) == call.takes
    assert tuple(signature.output_names) == call.gives
    assert signature.streamable == call.streams
    assert (bundle.folder / MODEL_C).exists()
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    assert [value.name for value in session.get_inputs()] == signature.file_inputs
    assert (bundle.folder / MODEL_PT2).exists() == call.streams, bundle.why_without(MODEL_PT2)
    runtimes = ("torchscript", "c", *(["torch_export"] if call.streams else []))
    runners = [rnn_export.load(bundle.folder, runtime) for runtime in runtimes]
    for sizes in SIZES:
        given = call.draw(*sizes)
        with torch.no_grad():
            want = dict(zip(signature.file_outputs, arrays_of(model(*given)), strict=False))
        feeds = named(bundle, given)
        found = [dict(zip(signature.file_outputs, session.run(None, feeds), strict=True))]
        inputs = {spec.name: feeds[spec.name] for spec in signature.inputs}
        state = tuple(feeds[leaf.name] for leaf in signature.state) if call.streams else None
        for runner in runners:
            outputs, new = runner(inputs, state)
            several = outputs if isinstance(outputs, dict) else {signature.outputs[0].name: outputs}
            names = [leaf.output_name for leaf in signature.state]
            found.append(several | dict(zip(names, new, strict=True)))
        for results in found:
            for name, array in want.items():
                assert results[name].dtype == array.dtype
                np.testing.assert_allclose(results[name], array, atol=1e-5, err_msg=name)


def test_a_runner_takes_several_inputs_by_name(tmp_path: Path) -> None:
    _, bundle = exported(GENERAL["time gaps"], tmp_path / "b")
    runner = rnn_export.load(bundle.folder)
    x, dt = np.zeros((5, 2, 4), np.float32), np.zeros((5, 2), np.float32)
    outputs, state = runner({"dt": dt, "x": x})
    again, _ = runner({"x": x[2:], "dt": dt[2:]}, runner({"x": x[:2], "dt": dt[:2]})[1])
    assert np.array_equal(outputs[2:], again)
    assert len(state) == 1
    session = runner.session(2)
    steps = [session.step({"dt": dt[t], "x": x[t]}).copy() for t in range(5)]
    np.testing.assert_allclose(np.stack(steps), outputs, atol=1e-6)
    with pytest.raises(InputError, match=r"'inputs': expected 'x', 'dt', got 'x'"):
        session.step({"x": x[0]})
    with pytest.raises(InputError, match=r"'inputs': expected 'x', 'dt', got ndarray. Pass a dict of arrays"):
        runner(x)
    with pytest.raises(InputError, match=r"expected 'x', 'dt', got 'x'. Pass an array for each"):
        runner({"x": x})
    with pytest.raises(InputError, match=r"'dt': expected float32 \[time=5, batch=2\], got float32 \[4, 2\]"):
        runner({"x": x, "dt": dt[1:]})


@pytest.mark.exhaustive
@pytest.mark.parametrize("runtime", [pytest.param("c", marks=needs_compiler), "onnxruntime"])
def test_a_session_keeps_its_contexts(runtime: str, tmp_path: Path) -> None:
    _, bundle = exported(GENERAL["a speaker"], tmp_path / "b")
    runner = rnn_export.load(bundle.folder, runtime)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    contexts = {"which": np.array([0, 2]), "style": np.ones((2, 2), np.float32)}
    want, _ = runner({"x": x} | contexts)
    session = runner.session(2, contexts)
    for step in range(5):
        for name, got in session.step(x[:, step]).items():
            np.testing.assert_allclose(got, want[name][:, step], atol=1e-6)
    with pytest.raises(InputError, match="expected 'which', 'style', got none"):
        runner.session(2)


def test_numbers_of_time_steps_are_checked(tmp_path: Path) -> None:
    _, bundle = exported(GENERAL["packed"], tmp_path / "b")
    runner = rnn_export.load(bundle.folder)
    x = np.zeros((2, 5, 4), np.float32)
    with pytest.raises(InputError, match=r"'inputs_1': expected numbers of time steps from 1 to 5, got \[6"):
        runner({"inputs_0": x, "inputs_1": np.array([6, 2])})


class Shortened(torch.nn.Module):
    """Gives as many outputs as the longest row has time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


def test_outputs_of_the_longest_row_alone_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Give pad_packed_sequence total_length=, .* with lengths=True"):
        rnn_export.export(Shortened().eval(), (torch.randn(2, 7, 4), torch.tensor([7, 3])), tmp_path / "b")
