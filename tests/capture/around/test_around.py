"""Models around recurrences: each is what it is by itself, and the rest is traced with free sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.capture import step
from rnn_export.capture.around.around import Around, around
from rnn_export.capture.roll.rolled import roll
from rnn_export.errors import CaptureError, ModelError
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from rnn_export.module.subject import Subject
from rnn_export.program.program import Program
from rnn_export.signature.tree import tree_leaves
from tests.support.around_loops import Loop
from tests.support.around_nets import NETS, Net, Past, features

EVERY_DAY = "advantage"
TRACED = "handed", "tagger"  # the first is tried every day, without its files
SIZES = ((4, 1), (5, 4), (31, 2))  # time steps and rows
TABLE = [pytest.param(name, marks=[] if name == EVERY_DAY else pytest.mark.exhaustive) for name in NETS]


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.filterwarnings("ignore:No golden vector notices")  # a bias that is zero, or in front of softmax
def test_it_is_exported_and_right_at_other_sizes(name: str, tmp_path: Path) -> None:
    net = NETS[name]
    torch.manual_seed(0)
    model = net.make().eval()
    first = True if name == "both ways" else None  # nothing else says which axis is which
    bundle = rnn_export.export(model, net.draw(7, 3), tmp_path / "b", batch_first=first)
    assert not bundle.signature.streamable
    assert (MODEL_C in bundle.manifest.files, MODEL_PT in bundle.manifest.files) == (net.c, True)
    path = bundle.folder / "model.onnx"
    assert "Loop" not in {node.op_type for node in ir.load(path).graph.all_nodes()}
    session = onnxruntime.InferenceSession(str(path))
    for steps, batch in SIZES:
        args = net.draw(steps, batch)
        feeds = {name: leaf.numpy() for name, leaf in zip(bundle.signature.file_inputs, args, strict=True)}
        with torch.no_grad():
            want = tree_leaves(model(*args))
        for one, other in zip(session.run(None, feeds), want, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


def by_step(subject: Subject) -> tuple[Program, None]:
    rolled = subject if subject.signature.streamable else roll(subject)
    if rolled is None:
        raise CaptureError("it is no loop")
    return replace(step.capture(rolled), signature=rolled.signature), None


def parts_of(model: nn.Module, net: Net) -> Around:
    return around(inspect_export(model.eval(), net.draw(7, 3), said=Said(batch_first=True)), by_step)


@pytest.mark.several(1)
@pytest.mark.parametrize("name", TRACED)
def test_a_program_is_right_at_other_sizes(name: str) -> None:
    net = NETS[name]
    torch.manual_seed(0)
    model = net.make().eval()
    parts = parts_of(model, net)
    program = parts.program()
    assert program.signature is not None
    operators = [node.op_type for node in program.model.graph]
    assert "Scan" in operators
    assert "Recurrence" not in operators
    weights = {name for name in program.model.graph.initializers if name.endswith(("weight_ih", "weight_hh"))}
    own = {name for name, _ in model.named_parameters() if name.endswith(("weight_ih", "weight_hh"))}
    prefix = next(iter(sorted(weights))).partition(sorted(own)[0])[0]
    assert weights == {prefix + name for name in own}  # each once, under its own name
    for steps, batch in SIZES:
        args = net.draw(steps, batch)
        got = program.run(dict(zip(program.signature.input_names, map(Tensor.numpy, args), strict=True)))
        want = tree_leaves(model(*args))
        for one, other in zip((got[name] for name in program.signature.output_names), want, strict=True):
            np.testing.assert_allclose(one, other.detach().numpy(), atol=1e-5)


def test_what_is_no_loop_is_refused_by_its_name() -> None:
    with pytest.raises(CaptureError, match="Looking is no loop over time steps: it is no loop"):
        parts_of(Past(), Net(Past, features(5)))


@pytest.mark.exhaustive
def test_the_error_says_which_submodule_is_no_loop(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Nor as a trace: Looking is no loop over time steps"):
        rnn_export.export(Past().eval(), features(5)(7, 3), tmp_path / "b")


class Listing(nn.Module):
    """Gives a list of all time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(5, 4)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = [x.new_zeros(x.shape[0], 4)]
        for t in reversed(range(x.shape[1])):
            outputs.append(self.cell(x[:, t], outputs[-1]))
        return outputs


class Listed(nn.Module):
    """Stacks what a submodule gives in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Listing()

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        return torch.stack(self.loop(x), 1).mean(1)


def test_a_list_of_time_steps_is_no_result_of_a_recurrence() -> None:
    with pytest.raises(CaptureError, match=r"loop takes or gives other than .* and stack what it returns"):
        parts_of(Listed(), Net(Listed, features(5)))


class Twice(nn.Module):
    """One loop under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = Loop(5, reverse=True)
        self.other = self.one

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        return torch.cat([self.one(x)[0], self.other(x.flip(2))[0]], -1)


def test_a_loop_may_have_two_names() -> None:
    torch.manual_seed(0)
    parts = parts_of(Twice(), Net(Twice, features(5)))
    assert len(parts.pieces) == 1
    assert [node.op_type for node in parts.program().model.graph].count("Scan") == 2


class Fixed(nn.Module):
    """Makes a number of its time steps, and a choice of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(5, reverse=True)

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        y: Tensor = self.loop(x)[0]
        return y if len(range(x.shape[1])) > 12 else 2 * y


def test_a_size_that_is_fixed_is_said() -> None:
    parts = parts_of(Fixed(), Net(Fixed, features(5)))
    with pytest.raises(CaptureError, match="fixes time of what is around the recurrences of Fixed at 24"):
        parts.program()


class Choosing(nn.Module):
    """Does something else for long sequences, which no trace of shorter ones shows."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(5, reverse=True)

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        y: Tensor = self.loop(x)[0]
        return y * (1 if x.shape[1] < 30 else 2)


def test_a_branch_on_sizes_is_refused() -> None:
    parts = parts_of(Choosing(), Net(Choosing, features(5)))
    with pytest.raises(CaptureError, match=r"Choosing gives other outputs for \{.*'time': 40"):
        parts.program()
