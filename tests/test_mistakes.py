"""What a person gets wrong in Python, and the words that have to come: the cause, and what to do.

All of it fails before anything slow; those of the command line are in ``tests/cli``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.errors import RnnExportError
from rnn_export.models import RNNScratch
from tests.support.paths import ARTIFACTS

BUNDLE = ARTIFACTS / "rnn_scratch"
X, H = torch.zeros(9, 3, 4), torch.zeros(3, 6)


def net() -> RNNScratch:
    return RNNScratch(4, 6, 3).eval()


class Over(nn.Module):
    """Gives what a function makes of an RNN's outputs."""

    def __init__(self, change: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.rnn, self.change = nn.GRU(4, 6), change

    def forward(self, x):
        return self.change(self.rnn(x)[0])


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(5, 6)

    def forward(self, ids):
        return self.rnn(nn.functional.one_hot(ids, 5).float())


def export(model: Any, args: Any, **options: Any) -> Callable[[Path], object]:
    return lambda folder: rnn_export.export(model, args, folder / "b", **options)


def called(*arguments: Any, **options: Any) -> Callable[[Path], object]:
    """Export with any arguments; ``"DIR"`` among them is a folder."""
    return lambda folder: rnn_export.export(
        *(folder / "b" if isinstance(one, str) and one == "DIR" else one for one in arguments), **options
    )


EXPORTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    # --- the example ---
    "41 features": (export(nn.GRU(40, 6), torch.zeros(9, 3, 41)), ["Expected 40, got 41", "Pass an example"]),
    "41 features of a hand-written net": (
        export(net(), (torch.zeros(9, 3, 5), (H,))),
        ["failed on inputs float32 [9, 3, 5]", "Pass an example"],
    ),
    "float64": (
        export(nn.GRU(4, 6), X.double()),
        [
            "expected float32 [time, batch, features], got float64 [9, 3, 4]",
            "example.float()",
            "model.double()",
        ],
    ),
    "outputs in half precision": (
        export(Over(lambda outputs: outputs.bfloat16()), X),
        ["got bfloat16 [9, 3, 6]", ".float()", "torch.autocast"],
    ),
    "outputs that are int32": (
        export(Over(lambda outputs: outputs.argmax(-1).int()), X),
        ["got int32 [9, 3]", "to int64"],
    ),
    "float8": (export(nn.GRU(4, 6), X.to(torch.float8_e4m3fn)), ["got float8_e4m3fn", "example.float()"]),
    "int32 token ids": (export(OneHot(), torch.zeros(9, 3).int()), ["got int32 [9, 3]", "example.long()"]),
    "no time steps": (export(nn.GRU(4, 6), X[:0]), ["got float32 [0, 3, 4]", "at least one"]),
    "a number": (export(nn.GRU(4, 6), torch.tensor(1.0)), ["Time and batch are axes of the inputs"]),
    "NaN": (export(nn.GRU(4, 6), X * float("nan")), ["NaN or infinite", "Pass finite ones"]),
    "[3, 16] token ids": (
        export(OneHot(), torch.zeros(3, 16).long()),
        ["which axis is time and which is batch, got int64 [3, 16]", "axes={'inputs': ('time', 'batch')}"],
    ),
    "numpy": (export(nn.GRU(4, 6), X.numpy()), ["got an array, float32", "torch.from_numpy()"]),
    "a shape": (export(nn.GRU(4, 6), (9, 3, 4)), ["got (int, int, int)", "Pass what one call"]),
    "a string": (export(nn.GRU(4, 6), "9,3,4"), ["got str", "Pass what one call"]),
    "meta inputs": (export(nn.GRU(4, 6), X.to("meta")), ["float32 [9, 3, 4], meta", "torch.zeros_like"]),
    "a meta state": (export(net(), (X, (H.to("meta"),))), ["float32 [3, 6], meta", "torch.zeros_like"]),
    "sparse": (export(nn.GRU(4, 6), X.to_sparse()), ["torch.sparse_coo", "to_dense()"]),
    "a state of fewer layers": (
        export(nn.GRU(4, 6, 2), (X, torch.zeros(1, 3, 6))),
        ["Expected hidden size (2, 3, 6), got [1, 3, 6]"],
    ),
    "kwargs that forward does not take": (
        export(nn.GRU(4, 6), X, kwargs={"h0": torch.zeros(1, 3, 6)}),
        ["unexpected keyword argument 'h0'", "kwargs=..."],
    ),
    "complex": (export(net(), X.to(torch.complex64)), ["RNNScratch failed on", "missing 1 required"]),
    # --- the model ---
    "the class": (export(nn.GRU, X), ["got the class GRU", "Pass an instance"]),
    "the state dict": (export(net().state_dict(), X), ["got OrderedDict", "load_state_dict"]),
    "a file": (export("model.pt", X), ["got str", "Pass an instance"]),
    "the optimizer": (export(torch.optim.SGD(net().parameters()), X), ["got SGD", "Pass an instance"]),
    "a meta model": (export(nn.GRU(4, 6, device="meta"), X), ["parameters on meta", "load_state_dict"]),
    "no forward": (export(nn.Module(), X), ['missing the required "forward"']),
    "a loss": (
        export(Over(lambda y: y.mean()), X),
        ["result of forward(): expected outputs of every row, got float32 []", "not a loss"],
    ),
    "nothing": (export(Over(lambda y: None), X), ["got NoneType", "Return (outputs, state)"]),
    "rows summed up": (export(Over(lambda y: y.sum(1)), X), ["Let no row"]),
    # --- what is said ---
    "another batch_first": (
        export(nn.GRU(4, 6), X, batch_first="yes"),
        ["batch_first: expected True or False, got 'yes'"],
    ),
    "the wrong batch_first": (
        export(nn.GRU(4, 6), X, batch_first=True),
        ["one more time step is too many", "batch_first=True", "leave it out"],
    ),
    "axes as a list": (
        export(nn.GRU(4, 6), X, axes=["time", "batch"]),
        ["axes: expected a dict of axes by name", "got list", "{'inputs': "],
    ),
    "axes of no argument": (
        export(nn.GRU(4, 6), X, axes={"inptu": ("time", "batch", None)}),
        ["axes: expected 'input', 'inputs', got 'inptu'", "Did you mean 'input'?"],
    ),
    "an axis by another word": (
        export(nn.GRU(4, 6), X, axes={"input": ("seq", "batch", None)}),
        ["expected 'batch' once, 'time' once", "('seq', 'batch', None)"],
    ),
    "a role as a word": (export(nn.GRU(4, 6), X, roles="context"), ["roles: expected a dict", "got str"]),
    "a role by another word": (
        export(nn.GRU(4, 6), X, roles={"input": "contxt"}),
        ["got 'contxt'", "Did you mean 'context'?"],
    ),
    "step=True of a sequence": (
        export(nn.GRU(4, 6), X, step=True),
        ["GRU failed on", "step=True", "has no time axis"],
    ),
    "a number as metadata": (
        export(net(), (X, (H,)), metadata={"epoch": 3}),
        ["metadata 'epoch': expected a string, got int", "str(3)"],
    ),
    "metadata without names": (
        export(net(), (X, (H,)), metadata=["x"]),
        ["metadata: expected a dict", "got list"],
    ),
    "a number as a name of metadata": (export(net(), (X, (H,)), metadata={3: "x"}), ["got 3", "a string"]),
    "a number as a name": (export(net(), (X, (H,)), name=3), ["name: expected a string, got int"]),
    "a list of kwargs": (export(net(), X, kwargs=[H]), ["kwargs: expected a dict", "got list"]),
    "a number as progress": (export(net(), X, progress=3), ["progress: expected a function", "got int"]),
    "a number as require": (export(net(), X, require=3), ["require: expected", "got int"]),
    "a word for a flag": (export(net(), X, lengths="yes"), ["lengths: expected True or False, got 'yes'"]),
    "a number for a flag": (export(net(), X, step=2), ["step: expected True or False, got 2"]),
    "a word for no C": (export(net(), X, c="no"), ["c: expected True or False, got 'no'"]),
    "a word for quick": (export(net(), X, quick="no"), ["quick: expected True or False, got 'no'"]),
    "a word for overwrite": (export(net(), X, overwrite="no"), ["overwrite: expected True or False"]),
    "a word as an opset": (export(net(), X, opset="18"), ["opset: expected a number from", "got '18'"]),
    "a number as a role": (export(net(), X, roles={"inputs": 3}), ["role of 'inputs'", "got 3"]),
    "a number as axes": (
        export(net(), X, axes={"inputs": 0}),
        ["axes of 'inputs'", "got 0", "Name each axis"],
    ),
    # --- the folder ---
    "the state behind the inputs": (
        called(net(), X, (H,), "DIR"),
        ["expected (model, args, folder)", "got 4 arguments", "export(model, (inputs, state), folder)"],
    ),
    "the state for the folder": (
        called(net(), X, (H,)),
        ["folder: expected a path, got tuple", "export(model, (inputs, state), folder)"],
    ),
    "the folder in front": (
        called(net(), "DIR", X),
        ["folder: expected a path, got Tensor", "folder comes last"],
    ),
    "no folder": (called(net(), X, None), ["folder: expected a path, got NoneType"]),
    "a folder of the system": (
        lambda _: rnn_export.export(net(), X, "/proc/bundle"),
        ["/proc/bundle cannot be written", "Name a folder that you may write to"],
    ),
    "a folder in a file": (
        lambda folder: ((folder / "f").touch(), rnn_export.export(net(), X, folder / "f" / "b")),
        ["cannot be written", "is a file", "Name a folder that you may write to"],
    ),
    "a folder of other things": (
        lambda folder: ((folder / "f").touch(), rnn_export.export(net(), X, folder)),
        ["expected no such path, or a bundle, got something else", "Name another folder"],
    ),
}


@pytest.mark.daily
@pytest.mark.filterwarnings("ignore::rnn_export.errors.ExportWarning")
@pytest.mark.parametrize(("do", "words"), EXPORTS.values(), ids=EXPORTS)
def test_an_export_says_the_cause_and_the_remedy(
    do: Callable[[Path], object], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(RnnExportError) as raised:
        do(tmp_path)
    assert [word for word in words if word not in str(raised.value)] == [], str(raised.value)
    assert not list(tmp_path.glob("*/*"))


INPUTS = np.zeros((5, 2, 16), np.float32)
STATE = np.zeros((2, 32), np.float32)
CALLS: dict[str, tuple[tuple[Any, ...], list[str]]] = {
    "17 features": (
        (np.zeros((5, 2, 17), np.float32),),
        ["[5, 2, 17]", "Axis 2 is 16 in this model, not 17"],
    ),
    "no batch": ((INPUTS[:, 0],), ["got float32 [5, 16]", "3 axes, not 2", "inputs[:, None]"]),
    "float64": ((INPUTS.astype(float),), ["got float64 [5, 2, 16]", "Convert it to float32"]),
    "objects": ((INPUTS.astype(object),), ["got object [5, 2, 16]", "Convert it to float32"]),
    "a state of three rows": (
        (INPUTS, (np.zeros((3, 32), np.float32),)),
        ["made for the batch of the inputs"],
    ),
    "a state of another size": ((INPUTS, (np.zeros((2, 31), np.float32),)), ["Axis 1 is 32 in this model"]),
    "a bare state": ((INPUTS, STATE), ["argument 'state': expected a tuple", "got ndarray", "(state,)"]),
    "two states": ((INPUTS, (STATE, STATE)), ["expected 1 tensors (state_0), got 2"]),
    "nothing": ((None,), ["got NoneType"]),
    "a tensor on meta": (
        (torch.zeros(5, 2, 16, device="meta"),),
        ["got float32 [5, 2, 16], meta", "with numbers"],
    ),
    "a sparse tensor": ((torch.zeros(5, 2, 16).to_sparse(),), ["torch.sparse_coo", "to_dense()"]),
    "half precision": ((torch.zeros(5, 2, 16).bfloat16(),), ["got bfloat16 [5, 2, 16]", "float32"]),
    "words": (("hello",), ["got str", "Pass a numpy array"]),
    "inputs and state in one": (((INPUTS, (STATE,)),), ["got tuple", "runner(inputs, state)"]),
    "another name": (({"input": INPUTS},), ["expected 'inputs', got 'input'"]),
    "lengths": ((INPUTS, (STATE,), np.array([1, 2])), ["exported without", "lengths=True"]),
}


@pytest.mark.parametrize(("arguments", "words"), CALLS.values(), ids=CALLS)
def test_a_call_says_the_cause_and_the_remedy(arguments: tuple[Any, ...], words: list[str]) -> None:
    with pytest.raises(RnnExportError) as raised:
        rnn_export.load(BUNDLE)(*arguments)
    assert [word for word in words if word not in str(raised.value)] == [], str(raised.value)


OTHERS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "a runtime": (lambda: rnn_export.load(BUNDLE, "onnx"), ["got 'onnx'", "Did you mean 'onnxruntime'?"]),
    "a number for a folder": (lambda: rnn_export.load(3), ["folder: expected a path, got int"]),
    "a number to verify": (lambda: rnn_export.verify(3), ["folder: expected a path, got int"]),
    "a string of a bundle": (
        lambda: rnn_export.scaffold("gone", "python", "out_of_reach"),
        ["gone: expected a folder"],
    ),
    "no bundle": (
        lambda: rnn_export.scaffold([], "python", "out_of_reach"),
        ["expected at least one bundle"],
    ),
    "a word for a flag of optimize": (
        lambda: rnn_export.optimize(BUNDLE / "model.onnx", opset="18"),
        ["opset: expected a number from", "got '18'"],
    ),
    "a number for a model": (lambda: rnn_export.optimize(3, "y.onnx"), ["expected a path, got int"]),
}


@pytest.mark.parametrize(("do", "words"), OTHERS.values(), ids=OTHERS)
def test_what_else_is_called_says_the_cause(do: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(RnnExportError) as raised:
        do()
    assert [word for word in words if word not in str(raised.value)] == [], str(raised.value)


def test_a_bundle_is_a_path() -> None:
    bundle = rnn_export.Bundle.open(BUNDLE)
    assert rnn_export.load(bundle).signature == bundle.signature
