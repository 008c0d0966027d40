"""States and outputs of truth values, whole numbers and infinities, through every file and runner."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.verification.verify import verify
from tests.support.odd_values import NETS, built, run

CPU = torch.device("cpu")
SIZES = {"chosen": 0.3}  # of the inputs: so that no units saturate, of which any is the largest


@pytest.mark.parametrize("name", NETS)
def test_every_file_gives_what_numpy_gives(name: str, tmp_path: Path) -> None:
    net, random = built(name), np.random.default_rng(5)
    example = torch.randn(6, 2, 4), net.begin_state(2, CPU)
    bundle = rnn_export.export(net, example, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    assert verify(bundle.folder).passed
    inputs = (SIZES.get(name, 1.0) * random.standard_normal((9, 5, 4))).astype(np.float32)
    for runtime in ("onnxruntime", "torchscript", "c", "reference"):
        runner = rnn_export.load(bundle.folder, runtime=runtime)
        state = [
            leaf.astype(np.float64) if leaf.dtype.kind == "f" else leaf for leaf in runner.initial_state(5)
        ]
        want, *last = run(name, net, inputs, state)
        outputs, after = runner(inputs)
        assert [array.dtype for array in after] == [array.dtype for array in runner.initial_state(5)], runtime
        first, state_between = runner(inputs[:4])
        second, end = runner(inputs[4:], state_between)
        for got in (outputs, np.concatenate([first, second])):
            np.testing.assert_allclose(got, want, atol=1e-5, err_msg=runtime)
        for got, also, right in zip(after, end, last, strict=True):
            np.testing.assert_allclose(got, right, atol=1e-5, err_msg=runtime)
            np.testing.assert_allclose(also, right, atol=1e-5, err_msg=runtime)
