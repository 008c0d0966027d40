"""What ours is timed against: one function an engine, one line in the table.

A function takes a :class:`Task` and gives a call without arguments that returns the outputs and the new
state. What an engine does once (loading, compiling, turning arrays into its own) is done before; T and B are
fixed where that makes an engine faster. Engines are imported where they are used: they are an extra.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch
from rnn_export.signature.tensors import Array
from rnn_export.signature.tree import tree_leaves

Run = Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class Task:
    """A net, its ONNX files (as shipped, and with the ONNX operator), and the arrays of one call."""

    net: nn.Module
    model: Path
    operator: Path
    inputs: Array
    state: tuple[Array, ...]

    @property
    def tensors(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The call's arrays as tensors."""
        return torch.from_numpy(self.inputs), tuple(map(torch.from_numpy, self.state))


def eager(task: Task) -> Run:
    """Run the module itself."""
    inputs, state = task.tensors

    def run() -> Sequence[Tensor]:
        with torch.inference_mode():
            return tree_leaves(task.net(inputs, state))

    return run


def torch_nn(task: Task) -> Run:
    """Run PyTorch's own layer and a linear layer, of the same sizes and with the same weights."""
    layer_class, gates = LAYERS[type(task.net)]
    inputs, state = task.tensors
    w = dict(task.net.named_parameters())
    layer = layer_class(w[f"W_x{gates[0]}"].shape[0], w["W_hq"].shape[0])
    linear = nn.Linear(*w["W_hq"].shape)
    layer.load_state_dict(
        {
            "weight_ih_l0": torch.cat([w[f"W_x{gate}"].T for gate in gates]),
            "weight_hh_l0": torch.cat([w[f"W_h{gate}"].T for gate in gates]),
            "bias_ih_l0": torch.cat([w[f"b_{gate}"] for gate in gates]),
            "bias_hh_l0": torch.zeros_like(layer.bias_hh_l0),
        }
    )
    linear.load_state_dict({"weight": w["W_hq"].T, "bias": w["b_q"]})
    stacked = tuple(leaf[None] for leaf in state)
    first = stacked if len(stacked) > 1 else stacked[0]

    def run() -> Sequence[Tensor]:
        with torch.inference_mode():
            hidden, last = layer(inputs, first)
            return [linear(hidden), *(leaf[0] for leaf in tree_leaves(last))]

    return run


# PyTorch's layer, and the scratch net's gates in the layer's order.
LAYERS: dict[type[nn.Module], tuple[Any, str]] = {
    RNNScratch: (nn.RNN, "h"),
    GRUScratch: (nn.GRU, "rzh"),
    LSTMScratch: (nn.LSTM, "ifco"),
}


def openvino(task: Task) -> Run:
    """Run ``model.onnx`` in OpenVINO, in f32: on some processors it would choose bf16 by itself."""
    return _openvino(task, task.model)


def openvino_operator(task: Task) -> Run:
    """Run the ONNX operator in OpenVINO."""
    return _openvino(task, task.operator)


def _openvino(task: Task, path: Path) -> Run:
    import openvino  # noqa: PLC0415 (an extra)

    model = openvino.Core().read_model(path)
    arrays = [task.inputs, *task.state]
    model.reshape({port: list(array.shape) for port, array in zip(model.inputs, arrays, strict=True)})
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: list(request.infer(arrays, share_inputs=True).values())


def jax(task: Task) -> Run:
    """Run a ``lax.scan`` written by hand, compiled; the gates' weights are packed side by side."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax  # noqa: PLC0415 (an extra)

    w = {name: jax.numpy.asarray(value.numpy()) for name, value in task.net.named_parameters()}
    step = STEPS[type(task.net)](jax, w)

    def forward(inputs: Any, state: Any) -> Any:
        def body(state: Any, x: Any) -> Any:
            state = step(x, *state)
            return state, state[0] @ w["W_hq"] + w["b_q"]

        state, outputs = jax.lax.scan(body, state, inputs)
        return outputs, *state

    compiled = jax.jit(forward)
    arguments = jax.device_put((task.inputs, task.state))
    return lambda: jax.block_until_ready(compiled(*arguments))


def _packed(jax: Any, w: dict[str, Any], gates: str) -> list[Any]:
    return [
        jax.numpy.concatenate([w[f"{prefix}{gate}"] for gate in gates], -1) for prefix in ("W_x", "W_h", "b_")
    ]


def _rnn_step(jax: Any, w: dict[str, Any]) -> Callable[..., Any]:
    return lambda x, H: (jax.numpy.tanh(x @ w["W_xh"] + H @ w["W_hh"] + w["b_h"]),)


def _gru_step(jax: Any, w: dict[str, Any]) -> Callable[..., Any]:
    W_x, W_h, b = _packed(jax, w, "zr")

    def step(x: Any, H: Any) -> Any:
        Z, R = jax.numpy.split(jax.nn.sigmoid(x @ W_x + H @ W_h + b), 2, -1)
        H_tilde = jax.numpy.tanh(x @ w["W_xh"] + (R * H) @ w["W_hh"] + w["b_h"])
        return (Z * H + (1 - Z) * H_tilde,)

    return step


def _lstm_step(jax: Any, w: dict[str, Any]) -> Callable[..., Any]:
    W_x, W_h, b = _packed(jax, w, "ifoc")

    def step(x: Any, H: Any, C: Any) -> Any:
        I, F, O, C_tilde = jax.numpy.split(x @ W_x + H @ W_h + b, 4, -1)  # noqa: E741
        C = jax.nn.sigmoid(F) * C + jax.nn.sigmoid(I) * jax.numpy.tanh(C_tilde)
        return jax.nn.sigmoid(O) * jax.numpy.tanh(C), C

    return step


STEPS = {RNNScratch: _rnn_step, GRUScratch: _gru_step, LSTMScratch: _lstm_step}


def tract(task: Task) -> Run:
    """Run the ONNX operator in tract.

    Its symbols are set after loading: given numbers as the sizes of the inputs, it cannot unify them with the
    symbols inside of the graph.
    """
    import tract  # noqa: PLC0415 (an extra)

    model = tract.onnx().load(task.operator).into_model()
    steps, batch = task.inputs.shape[:2]
    model.transform(tract.SetSymbols({"time": steps, "batch": batch}))
    state = model.into_runnable().spawn_state()
    arrays = [tract.Tensor.from_numpy(array) for array in (task.inputs, *task.state)]
    return lambda: [result.to_numpy() for result in state.run(arrays)]


PEERS: dict[str, Callable[[Task], Run]] = {
    "eager": eager,
    "torch.nn": torch_nn,
    "OpenVINO": openvino,
    "OpenVINO, operator": openvino_operator,
    "JAX": jax,
    "tract": tract,
}
