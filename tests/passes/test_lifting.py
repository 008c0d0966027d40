"""What stands in a step beside the recurrence leaves the loop: only what has a state has its own."""

import pytest
import torch

from rnn_export.backends.onnx import finish
from rnn_export.capture import step
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.program.program import run_model
from rnn_export.program.scan import scans
from tests.support.c_cells import flat
from tests.support.cases import sample
from tests.support.step_nets import STEP_NETS

QUICK = ("every convolution 1d", "multi-head attention", "writes")
SIZED = ("every pooling",)  # it has a Resize that lists all sizes, the batch's too


@pytest.mark.several(1)
@pytest.mark.parametrize("name", sample(STEP_NETS, *QUICK))
def test_a_step_becomes_one_loop_that_computes_the_same(name: str) -> None:
    net = STEP_NETS[name]
    module = net.module()
    subject = find_streaming(inspect_module(module, net.example()))
    forms = forms_of(optimize(step.capture(subject)))
    program = forms.get("scan", forms.get("step"))
    assert program is not None
    loops = scans(program.model.graph)
    assert len([loop for loop in loops if not loop.states]) == (name in SIZED)
    example = net.example(5, 2)
    file = finish(program.copy().model, subject.signature, "net", {}, prefix="model.")
    feeds = {
        spec.name: leaf.numpy() for spec, leaf in zip(subject.signature.arguments, flat(example), strict=True)
    }
    results = run_model(file, feeds, subject.signature.output_names)
    with torch.no_grad():
        wanted = flat(module(*example))
    for got, want in zip(results, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(got), want, rtol=2e-5, atol=2e-5)
