"""Whole models, as people of each field write them: exported, and right at sizes that no example had."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.errors import ExportWarning
from rnn_export.signature.tree import tree_leaves
from tests.support.whole_models import MODELS, Whole

EVERY_DAY = ("packed by padding", "counter", "wake word", "latent vector alone")
SIZES = ((2, 1), (5, 4), (19, 2))  # time steps and rows
TABLE = [
    pytest.param(model, id=name, marks=[] if name in EVERY_DAY else pytest.mark.exhaustive)
    for name, model in MODELS.items()
]


@pytest.mark.parametrize("whole", TABLE)
@pytest.mark.filterwarnings("ignore::rnn_export.errors.ExportWarning")
def test_every_model_is_exported_and_right_at_other_sizes(whole: Whole, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = whole.make().eval()
    bundle = rnn_export.export(model, whole.draw(7, 3), tmp_path / "b")
    signature, files = bundle.signature, bundle.manifest.files
    assert (signature.streamable, MODEL_C in files, MODEL_PT in files) == (whole.streams, whole.c, True)
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    for steps, batch in SIZES:
        args = whole.draw(max(steps, signature.least), batch)
        with torch.no_grad():
            want = [leaf.numpy() for leaf in tree_leaves(model(*args))]
        given = [leaf.numpy() for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        names = [leaf.name for leaf in signature.state]
        feeds = dict(zip(names, signature.initial_state(batch), strict=True))
        given = [each for each in given if each.ndim]  # a number for all rows has one for each in the file
        feeds |= dict(zip([name for name in signature.file_inputs if name not in feeds], given, strict=False))
        got = session.run(signature.file_outputs[: len(want)], feeds)
        for one, other in zip(got, want, strict=True):
            if other.ndim:
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "said"), [("forecaster", r"horizon=5"), ("counter", r"n: one number")])
def test_what_the_files_hold_otherwise_is_said(name: str, said: str, tmp_path: Path) -> None:
    with pytest.warns(ExportWarning, match=said):
        rnn_export.export(MODELS[name].make().eval(), MODELS[name].draw(7, 3), tmp_path / "b")
