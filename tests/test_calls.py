"""Calls as people write them are exported, and the files are right at sizes that the example did not have."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import rnn_export
from rnn_export.bundle.layout import MODEL_C
from rnn_export.errors import InputError
from rnn_export.signature.tree import tree_leaves
from tests.support.calls import CALLS, WHOLE, Call

EVERY_DAY = ("a dict", "a dataclass", "one dict")
TABLE = [
    pytest.param(name, call, id=name, marks=[] if name in EVERY_DAY else pytest.mark.exhaustive)
    for name, call in CALLS.items()
]


@pytest.mark.parametrize(("name", "call"), TABLE)
def test_every_file_is_right_at_other_sizes(name: str, call: Call, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = call.make().eval()
    args, kwargs = call.draw(7, 3)
    bundle = rnn_export.export(model, args, tmp_path / "b", kwargs=kwargs)
    assert (bundle.folder / MODEL_C).exists()
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    runners = [rnn_export.load(bundle.folder, runtime=runtime) for runtime in ("torchscript", "c")]
    for steps, batch in ((1, 1), (4, 2), (19, 6)):
        args, kwargs = call.draw(steps, batch)
        with torch.no_grad():
            want = [leaf.numpy() for leaf in tree_leaves(model(*args, **kwargs))]
        state = [leaf.numpy() for leaf in tree_leaves((args, kwargs))]
        inputs = state.pop(call.place)
        found = [session.run(None, dict(zip(bundle.signature.input_names, [inputs, *state], strict=True)))]
        for runner in runners:
            outputs, new = runner(inputs, tuple(state))
            found.append([outputs, *new])
        for results in found:
            assert len(results) == len(want)
            for array in want:  # whichever it is: no two of a call are alike
                assert any(
                    array.shape == result.shape and np.allclose(array, result, atol=1e-5)
                    for result in results
                )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name != "every second")) for name in WHOLE]
)
def test_outputs_may_be_more_or_fewer_than_the_time_steps(name: str, tmp_path: Path) -> None:
    call, least, shape = WHOLE[name]
    torch.manual_seed(0)
    model = call.make().eval()
    args, _ = call.draw(20, 3)
    bundle = rnn_export.export(model, args[0], tmp_path / "b")
    signature = bundle.signature
    assert (signature.least, signature.outputs[0].shape, signature.inputs[0].shape) == (
        least,
        shape,
        call.shape,
    )
    assert not signature.streamable
    assert rnn_export.verify(bundle.folder).passed
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    torchscript, c = (rnn_export.load(bundle.folder, runtime=name) for name in ("torchscript", "c"))
    for steps, batch in ((least, 1), (least + 1, 2), (33, 5)):
        (x,), _ = call.draw(steps, batch)
        with torch.no_grad():
            want = model(x).numpy()
        given = x.numpy()
        for got in (session.run(None, {"inputs": given})[0], torchscript(given)[0], c(given)[0]):
            np.testing.assert_allclose(got, want, atol=1e-5)
    (short,), _ = call.draw(least - 1, 2)
    if least > 1:
        with pytest.raises(InputError, match=f"expected at least {least} time steps, got {least - 1}"):
            torchscript(short.numpy())
