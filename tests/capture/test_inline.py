"""Loops that stand one after another in one ``forward``."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

import rnn_export
from rnn_export.capture.inline.inline import apart
from rnn_export.capture.inline.repeats import operators, repeats
from rnn_export.errors import CaptureError, ModelError
from rnn_export.module.inspection import inspect_export
from rnn_export.signature.tree import tree_leaves
from tests.support.inline_loops import NETS


def _of(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    net, example, *_ = NETS[name]
    return net().eval(), example()


@pytest.mark.several(1)
@pytest.mark.parametrize("name", NETS)
def test_each_loop_is_a_submodule(name: str) -> None:
    """What is made of it gives what the net gives, for one time step as well."""
    model, example = _of(name)
    subject = inspect_export(model, example)
    made = apart(subject)
    loops = [each for each, _ in made.original.named_children() if each.startswith("loop_")]
    assert len(loops) == NETS[name][2]
    for steps in (1, 2, 3, 11):
        given = [
            _of_length(each, spec.time_axis, steps)
            for each, spec in zip(example, subject.signature.arguments, strict=True)
        ]
        with torch.no_grad():
            results = zip(made.flat()(*given), subject.flat()(*given), strict=True)
            assert all(torch.allclose(got, want, atol=1e-6) for got, want in results)


def _of_length(tensor: Tensor, axis: int | None, steps: int) -> Tensor:
    return tensor if axis is None else tensor.index_select(axis, torch.arange(steps) % tensor.shape[axis])


@pytest.mark.exhaustive  # an export of half a minute
@pytest.mark.parametrize("name", NETS)
def test_it_is_exported(name: str, tmp_path: Path) -> None:
    """At sizes that the example does not have, in ONNX Runtime and in C."""
    model, example = _of(name)
    bundle = rnn_export.export(model, example, tmp_path / "net")
    assert (bundle.folder / "model.c").exists() == NETS[name][3]
    runner = rnn_export.load(bundle.folder)
    longer = [torch.cat([each, each], axis) for each, axis in zip(example, _time_axes(bundle), strict=False)]
    given = [*longer, *example[len(longer) :]]
    names = [spec.name for spec in bundle.signature.inputs]
    results = runner(given[0] if len(given) == 1 else dict(zip(names, given, strict=True)))
    with torch.no_grad():
        for got, want in zip(tree_leaves(results), tree_leaves(model(*given)), strict=True):
            np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


def _time_axes(bundle: rnn_export.Bundle) -> list[int]:
    axes = [spec.time_axis for spec in bundle.signature.inputs if spec.time_axis is not None]
    return [axis for axis in axes if axis is not None]


class Counted(nn.Module):
    """A loop whose time steps have their own numbers, and a sum backward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def kept(self, t: int) -> float:
        """What a time step keeps of the state."""
        return 1 / (1 + t * t)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, T, F]."""
        h, found = torch.zeros(x.size(0), 5), []
        for t, x_t in [*enumerate(x.unbind(1))][::-1]:
            h = torch.tanh(self.layer(x_t) + self.kept(t) * h)
            found.append(h)
        return torch.stack(found[::-1], 1).cumsum(**{"dim": 1})


class Threshold(nn.Module):
    """A unit with numbers that are no buffers, as constants of a physical model are."""

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.threshold = torch.tensor(3.0), torch.tensor([0.5])

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        v = v + 0.25 * self.decay * (x - v)
        return v - (v > torch.tensor(0.5)) * self.threshold


class Largest(nn.Module):
    """[B, T, F] to [B, 2 F]: the largest potentials of two units over all time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ModuleDict({"fast": Threshold(), "slow": Threshold()})
        self.units["slow"].decay = torch.tensor(2.0)

    def forward(self, x: Tensor) -> Tensor:
        found, states = [], dict.fromkeys(self.units, torch.tensor(0.0))
        for x_t in x.unbind(1):
            for name, unit in self.units.items():
                states[name] = unit(x_t, states[name])
            found.append(torch.cat([*states.values()], -1))
        return torch.stack(found).amax(0)


@pytest.mark.exhaustive  # five seconds
def test_numbers_of_submodules_are_kept() -> None:
    model = Largest().eval()
    made = apart(inspect_export(model, torch.randn(3, 7, 4)))
    x = torch.randn(2, 11, 4)
    torch.testing.assert_close(made.flat()(x)[0], model(x))


class Late(Counted):
    """What it does from the hundredth time step on is in no trace of a few."""

    def kept(self, t: int) -> float:
        return 0.5 if t < 100 else 2.0


def test_what_begins_after_many_time_steps_is_refused() -> None:
    """Its traces are alike: it is run over more time steps than they have."""
    with pytest.raises(CaptureError, match="is not what the module gives"):
        apart(inspect_export(Late(), torch.randn(3, 7, 5)))


def test_both_reasons_are_given(tmp_path: Path) -> None:
    """Of a net that nothing can export: why TorchScript does not, and why no trace does.

    Its number that changes from one time step to the next is no state.
    """
    with pytest.raises(ModelError, match=r"(?s)TorchScript cannot compile.*cannot be taken apart"):
        rnn_export.export(Counted(), torch.randn(3, 7, 5), tmp_path / "net")
    assert not [*tmp_path.iterdir()]


def _trace(steps: int) -> fx.Graph:
    """Three times a layer, a step as often as there are time steps, and a layer."""
    graph = fx.Graph()
    node = graph.placeholder("x")
    for _ in range(4):
        node = graph.call_function(torch.relu, (node,))
    for _ in range(steps):
        node = graph.call_function(torch.tanh, (graph.call_function(torch.sin, (node,)),))
    graph.output(graph.call_function(torch.relu, (node,)))
    return graph


def test_what_repeats_as_often_is_no_loop() -> None:
    """Layers are as many for any number of time steps."""
    traces = [operators(_trace(steps)) for steps in (7, 8, 10)]
    found = [*repeats(traces)]
    first = found[0]
    assert [(place.start, place.size, place.count) for place in first] == [(4, 2, 7), (4, 2, 8), (4, 2, 10)]
    assert all(one.count < other.count for one, other in pairwise(first))
