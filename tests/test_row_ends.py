"""Nets that take the number of time steps of each row, exported: whole and in pieces, in every file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.backends.c.write.model import compile_program
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.capture import step
from rnn_export.module import eager
from rnn_export.module.inspection import inspect_export
from rnn_export.passes import lengths as ended_rows
from rnn_export.runtimes import c
from rnn_export.runtimes.worker import within
from rnn_export.signature.signature import pieces
from rnn_export.signature.tree import tree_leaves
from tests.support.c_programs import needs_compiler
from tests.support.counted import STREAMED, Counted, Decided

SIZES = ((7, 5), (33, 2), (1, 1))  # time steps and rows


@needs_compiler
@pytest.mark.parametrize(
    "name",
    ["labels of the last step", "padding and a layer behind", "time behind the features", "labels"],
)
def test_what_stands_behind_the_end_of_a_row_is_that_of_the_module(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    counted = STREAMED[name]
    net = counted.make().eval()
    subject = inspect_export(net, counted.draw(7, 3))
    signature = subject.signature
    program = step.capture(replace(subject, signature=replace(signature, lengths=False)))
    x, lengths = counted.draw(9, 4)
    given = [x.numpy(), *signature.initial_state(4), lengths.numpy()]
    with torch.no_grad():
        want = [leaf.numpy() for leaf in tree_leaves(net(x, lengths))]
    rows = eager.start(subject, torch.float32)(*given)
    ragged = ended_rows.lengths(replace(program, signature=signature))
    in_onnx = ragged.run(dict(zip(signature.input_names, given, strict=True)))
    files = compile_program(program, signature, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    in_c = c.start(tmp_path / "model.c", signature)(*given)
    for found in (rows, [in_onnx[spec.name] for spec in signature.outputs], in_c):
        for got, expected in zip(found, want, strict=False):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.exhaustive
def test_what_no_step_can_be_traced_of_is_exported_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    counted = Counted(lambda: Decided(0.0))
    bundle = rnn_export.export(counted.make().eval(), counted.draw(7, 3), tmp_path / "b", quick=True, c=False)
    assert not bundle.signature.streamable
    assert [spec.role for spec in bundle.signature.inputs] == ["sequence", "lengths"]


@pytest.mark.exhaustive
@needs_compiler
@pytest.mark.parametrize("name", STREAMED)
def test_a_net_that_counts_time_steps_runs_whole_and_in_pieces(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    counted = STREAMED[name]
    net = counted.make().eval()
    bundle = rnn_export.export(net, counted.draw(7, 3), tmp_path / "b", require=["c", "onnx", "pt"])
    assert {MODEL_C, MODEL_PT} <= {*bundle.manifest.files}
    assert bundle.signature.streamable
    for runtime in ("onnxruntime", "c", "torchscript"):
        runner = rnn_export.load(bundle.folder, runtime)
        for steps, batch in SIZES:
            x, lengths, *state = counted.draw(steps, batch)
            with torch.no_grad():
                want = [leaf.numpy() for leaf in tree_leaves(net(x, lengths, *state))]
            begun = [leaf.numpy() for leaf in tree_leaves(state)]
            outputs, new = runner(x.numpy(), begun or None, lengths=lengths.numpy())
            outputs = [*outputs.values()] if isinstance(outputs, dict) else [outputs]
            for got, expected in zip((*outputs, *new), want, strict=False):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
            axis = bundle.signature.inputs[0].time_axis or 0
            found, reached = [], begun or None
            for piece in pieces(steps):
                cut = x.numpy()[(slice(None),) * axis + (piece,)]
                part, reached = runner(cut, reached, lengths=within(lengths.numpy(), piece))
                found.append(next(iter(part.values())) if isinstance(part, dict) else part)
            if (over := bundle.signature.outputs[0].time_axis) is not None:
                np.testing.assert_allclose(np.concatenate(found, over), want[0], rtol=1e-4, atol=1e-5)
            for got, expected in zip(reached, new, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
