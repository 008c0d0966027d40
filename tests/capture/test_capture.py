"""A module is captured in two ways; of the files, those are left out that cannot be made."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.errors import ModelError, RuntimeUnavailableError, ScaffoldError, ScriptError
from rnn_export.scaffolding.scaffold import scaffold


class Spike(torch.autograd.Function):
    """A step with a slope to train it by, as spiking nets have it."""

    @staticmethod
    def forward(context: Any, v: Tensor) -> Tensor:
        context.save_for_backward(v)
        return torch.gt(v, 1.0).to(v.dtype)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        [v] = context.saved_tensors
        return slope / (1 + 10 * v.abs())


class Spiking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.i = nn.Linear(4, 5)

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for x_t in x:
            v = 0.9 * v + self.i(x_t)
            v = v - Spike.apply(v)
            out.append(v)
        return torch.stack(out), v


def test_what_torchscript_cannot_hold_is_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = torch.randn(6, 3, 4), torch.zeros(3, 5)
    bundle = rnn_export.export(Spiking().eval(), example, tmp_path / "bundle")
    assert {"model.onnx", "model.c", "model.h"} <= {*bundle.manifest.files}
    assert "model.pt" not in bundle.manifest.files
    reason = r"model.pt: TorchScript cannot compile Spiking: .*call 'Spike'"
    assert str(Path(__file__).parent) not in bundle.why_without("model.pt")
    assert rnn_export.verify(bundle.folder).passed
    with pytest.raises(RuntimeUnavailableError, match=f"no such file .{reason}.*Choose another runtime"):
        rnn_export.load(bundle.folder, "torchscript")
    with pytest.raises(ScaffoldError, match=f"has no model.pt: {reason}"):
        scaffold([bundle.folder], "cpp-libtorch", tmp_path / "program")


class ShapeOfData(nn.Module):
    """The sizes are read of a tensor that is no part of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        steps, rows, _ = x.data.shape
        out = []
        for t in range(steps):
            h = self.cell(x[t].view(rows, -1), h)
            out.append(h)
        return torch.stack(out), h


def test_a_shape_read_past_the_graph_is_right_in_every_file(tmp_path: Path) -> None:
    example = torch.randn(6, 3, 4), torch.zeros(3, 5)
    bundle = rnn_export.export(ShapeOfData().eval(), example, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c", "variants/loop.onnx"} <= {*bundle.manifest.files}


class Named(ShapeOfData):
    """Defined in a module whose name PyTorch cannot read in a file that it has written itself."""

    __module__ = "größe"


def test_what_pytorch_cannot_load_is_left_out_without_a_word_of_this_machine(tmp_path: Path) -> None:
    example = torch.randn(6, 3, 4), torch.zeros(3, 5)
    bundle = rnn_export.export(Named().eval(), example, tmp_path / "bundle")
    assert {"model.onnx", "model.c"} <= {*bundle.manifest.files}
    reason = bundle.why_without("model.pt")
    assert "BundleError: model.pt cannot be loaded in PyTorch: 'utf-8' codec can't decode" in reason
    assert not [part for part in (str(tmp_path), rnn_export.__path__[0]) if part in reason]


class Unsaid(Spiking):
    """TorchScript compiles it, and nothing that calls it."""

    def forward(self, x: Tensor, v: Tensor) -> Any:
        out = []
        for x_t in x:
            v = torch.tanh(0.9 * v + self.i(x_t))
            out.append(v)
        return torch.stack(out), v


def test_a_result_without_a_type_costs_the_loop_alone(tmp_path: Path) -> None:
    bundle = rnn_export.export(
        Unsaid().eval(), (torch.randn(7, 3, 4), torch.zeros(3, 5)), tmp_path / "bundle"
    )
    assert {"model.pt", "model.onnx", "model.c"} <= bundle.manifest.files.keys()
    assert "variants/loop.onnx" not in bundle.manifest.files


class Tanh(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out: list[Tensor] = []
        for x_t in x:
            h = torch.tanh(self.i(x_t) + self.h(h))
            out.append(h)
        return torch.stack(out), h


class Smooth(nn.Module):
    """Has no parameters: the dtype is that of the example."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for x_t in x:
            h = 0.9 * h + 0.1 * x_t
            out.append(h)
        return torch.stack(out), h


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["scripted", "frozen"])
def test_a_module_that_was_compiled_is_exported(kind: str, tmp_path: Path) -> None:
    model = torch.jit.script(Tanh().eval())
    model = torch.jit.freeze(model) if kind == "frozen" else model
    example = torch.linspace(-1, 1, 72).view(6, 3, 4), torch.zeros(3, 5)
    bundle = rnn_export.export(model, example, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}


def test_a_module_without_parameters_is_exported(tmp_path: Path) -> None:
    example = torch.linspace(-1, 1, 72).view(6, 3, 4), torch.zeros(3, 4)
    bundle = rnn_export.export(Smooth(), example, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_layer_that_was_compiled_without_a_forward_is_exported(tmp_path: Path) -> None:
    layer, given = nn.LSTM(4, 5).eval(), torch.randn(6, 3, 4)
    state = torch.randn(1, 3, 5), torch.randn(1, 3, 5)
    bundle = rnn_export.export(torch.jit.script(layer), (given, state), tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    with torch.no_grad():
        want, (h, c) = layer(given, state)
    got, (g, d) = rnn_export.load(bundle.folder)(given.numpy(), tuple(map(Tensor.numpy, state)))
    for one, other in zip((got, g, d), (want, h, c), strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


class Pairs(nn.Module):
    """A list of pairs for a state, which the exporter of TorchScript takes for nothing that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.LSTMCell(4, 5), nn.LSTMCell(5, 5)])

    def forward(
        self, x: Tensor, state: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        outputs: list[Tensor] = []
        now = [state[0], state[1]]
        for x_t in x:
            for place, layer in enumerate(self.layers):
                now[place] = layer(x_t if place == 0 else now[place - 1][0], now[place])
            outputs.append(now[-1][0])
        return torch.stack(outputs), now


class Around(nn.Module):
    """Plain Python around what TorchScript compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.out = torch.jit.script(Pairs()), nn.Linear(5, 2)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = self.inside(x, state)
        return self.out(outputs), state


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", [lambda: torch.jit.script(Pairs().eval()), Around], ids=["alone", "inside"])
def test_a_step_of_what_was_compiled_is_traced(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = [(torch.randn(3, 5), torch.randn(3, 5)) for _ in range(2)]
    bundle = rnn_export.export(make().eval(), (torch.randn(6, 3, 4), state), tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    assert [leaf.shape for leaf in bundle.signature.state] == [("batch", 5)] * 4


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.h = nn.GRUCell(4, 5), torch.zeros(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for x_t in x:
            self.h = self.cell(x_t, self.h)
            outputs.append(self.h)
        return torch.stack(outputs)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_a_compiled_module_keeps_is_its_state(tmp_path: Path) -> None:
    compiled = torch.jit.script(Remembering().eval())
    bundle = rnn_export.export(compiled, torch.randn(6, 3, 4), tmp_path / "bundle")
    assert [leaf.shape for leaf in bundle.signature.state] == [("batch", 5)]
    assert {"model.onnx", "model.c"} <= {*bundle.manifest.files}


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.gru = nn.Linear(4, 4), nn.GRU(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.into(x)
        return self.gru(x.float())[0]


def test_what_computes_in_half_precision_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Half computes with: expected float32, got BFLOAT16 .*autocast"):
        rnn_export.export(Half().eval(), torch.randn(6, 3, 4), tmp_path / "b")


class Neither(nn.Module):
    """What neither TorchScript compiles nor a trace takes."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def step(self, x_t: Tensor, h: Tensor) -> Tensor:
        return eval("self.cell")(x_t, h)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in x:
            h = self.step(x_t, h * 0 if float(h.sum()) > 1000 else h)
            outputs.append(h)
        return torch.stack(outputs), h


def test_every_way_that_failed_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScriptError) as caught:
        rnn_export.export(Neither().eval(), (torch.randn(6, 3, 4), torch.zeros(3, 5)), tmp_path / "b")
    first, place, *_ = str(caught.value).splitlines()
    assert first.startswith("TorchScript cannot compile Neither")
    assert "test_capture.py:" in place
    assert re.search(r"\nNor as a trace: one time step .*test_capture.py:\d+", str(caught.value))
    assert str(caught.value).endswith("step=True.")
