"""What existing exporters do with a hand-written loop: try each anew, print a table.

    .venv/bin/python benchmarks/existing_exporters.py

Each row is tried in a process of its own, as an export leaves things behind that change later ones. "Right"
means: run at other T and B than the example's, and equal to eager within 1e-4 of the largest value.
AOTInductor is left out: it compiles C++ for minutes, and no other runtime reads what it makes.
"""

import io
import multiprocessing
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import torch
import torchrecurrent
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from rnn_export.capture import step
from rnn_export.models import RNNScratch
from rnn_export.module.reading import inspect_module
from rnn_export.program.quiet import quiet
from rnn_export.signature.tree import tree_leaves

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT = 300.0  # seconds for one row
CLOSE = 1e-4
T, B, I, H = 100, 2, 16, 32  # noqa: E741
SHORT = 7  # time steps of the layers' example, which is unrolled 41 times
OTHER_CALLS = ((1, 1), (11, 2), (20, 5))
LAYERS = [name for name in torchrecurrent.cells.__all__ if not name.endswith("Cell")]
SAME_SIZE = {"IntersectionRNN"}  # takes as many inputs as it has hidden units

# A net and how to make a call of it: time steps and batch in, (inputs, state) out.
Example = Callable[[int, int], tuple[Tensor, Any]]


def scratch_example(steps: int, batch: int) -> tuple[Tensor, Any]:
    """Give a call of the scratch net."""
    return torch.randn(steps, batch, I), (torch.randn(batch, H),)


def notebook() -> nn.Module:
    """Make the notebook's net, its class as it is written there."""
    sys.path.append(str(ROOT))
    from tests.support.notebook import RNNScratch as Written  # noqa: PLC0415 (found through the line above)

    net: nn.Module = Written(I, H, 1, 0.1)  # type: ignore[no-untyped-call]
    return net


def annotated() -> nn.Module:
    """Make the same net with annotations."""
    return RNNScratch(I, H, 1, 0.1)


class WithScan(nn.Module):
    """The same net, rewritten by hand to PyTorch's private ``scan`` operator."""

    def __init__(self) -> None:
        super().__init__()
        self.net = annotated()

    def forward(self, inputs: Tensor, state: tuple[Tensor]) -> Any:
        """Run over all time steps."""
        from torch._higher_order_ops.scan import scan  # noqa: PLC0415 (private: only this row needs it)

        w = self.net.get_parameter

        def body(hidden: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = torch.tanh(x @ w("W_xh") + hidden @ w("W_hh") + w("b_h"))
            return hidden, hidden @ w("W_hq") + w("b_q")

        hidden, outputs = scan(body, state[0], inputs)
        return outputs, (hidden,)


def fault(run: Callable[..., Sequence[Any]], net: nn.Module, example: Example) -> str:
    """Run at other T and B, and say what is wrong; empty if nothing is."""
    for steps, batch in OTHER_CALLS:
        inputs, state = example(steps, batch)
        where = f"T={steps} B={batch}"
        try:
            with torch.no_grad():
                expected = tree_leaves(net(inputs, state))
                results = run(inputs, *tree_leaves(state))
        except Exception as error:  # an engine's refusal is the finding
            return f"fails at {where}: {reason(error)}"
        for got, want in zip(map(np.asarray, results), map(np.asarray, expected), strict=True):
            if got.shape != want.shape:
                return f"silently wrong at {where}: shape {list(got.shape)} instead of {list(want.shape)}"
            error_size = float(np.abs(got - want).max())
            if not error_size <= CLOSE * float(np.abs(want).max()):
                return f"silently wrong at {where}: off by {error_size:.0e}"
    return ""


def reason(error: BaseException, length: int = 110) -> str:
    """Give the first line of the innermost error, without ONNX Runtime's codes."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = str(error).strip().partition("\n")[0]
    return re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", f"{type(error).__name__}: {first}")[:length]


def in_onnxruntime(model: onnx.ModelProto) -> Callable[..., Sequence[Any]]:
    """Give a call of an ONNX model, its arguments in order."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda *arrays: session.run(
        None, dict(zip(names, (array.numpy() for array in arrays), strict=False))
    )


def told(model: onnx.ModelProto, net: nn.Module, example: Example, steps: int) -> str:
    """Say what an exporter made, and whether it is right."""
    operators = Counter(node.op_type for node in model.graph.node)
    loops = ", ".join(f"{count} {name}" for name, count in operators.items() if name in {"Loop", "Scan"})
    size = f"{len(model.graph.node)} nodes at T={steps}" + (f" ({loops})" if loops else "")
    try:
        wrong = fault(in_onnxruntime(model), net, example)
    except Exception as error:  # ONNX Runtime refuses the file
        wrong = f"ONNX Runtime refuses it: {reason(error)}"
    return f"exported, {size}: {wrong or 'right'}"


def script(net: nn.Module, example: Example, *, typed: bool = False) -> torch.jit.ScriptModule:
    """Run ``torch.jit.script``; ``typed`` gives it an example to infer types from."""
    options: dict[str, Any] = {"example_inputs": [example(T, B)]} if typed else {}
    scripted: torch.jit.ScriptModule = torch.jit.script(net, **options)
    return scripted


def try_script(net: nn.Module, example: Example, *, typed: bool = False) -> str:
    """Script a net and run it."""
    scripted = script(net, example, typed=typed)

    def run(inputs: Tensor, *leaves: Tensor) -> list[Tensor]:
        state = leaves if isinstance(example(1, 1)[1], tuple) else leaves[0]
        return tree_leaves(scripted(inputs, state))

    kept = "prim::Loop kept" if "prim::Loop" in str(scripted.inlined_graph) else "no prim::Loop"
    return f"compiled, {kept}: {fault(run, net, example) or 'right'}"


def try_dynamo(
    net: nn.Module,
    example: Example,
    *,
    length: int = T,
    dims: Callable[[], tuple[Any, Any]] | None = None,
    **options: Any,
) -> str:
    """Export with ``dynamo=True``, T and B dynamic, and run the file."""
    inputs, state = example(length, B)
    steps, batch = dims() if dims else (torch.export.Dim("T"), torch.export.Dim("B"))

    def axes(leaf: Tensor) -> dict[int, Any]:
        axis = list(leaf.shape).index(B)
        return {axis: batch}

    shapes = ({0: steps, 1: batch}, torch.utils._pytree.tree_map(axes, state))
    program = torch.onnx.export(
        net, (inputs, state), dynamo=True, dynamic_shapes=shapes, verbose=False, **options
    )
    assert program is not None
    return told(program.model_proto, net, example, length)


def try_old(net: nn.Module, example: Example, *, length: int = T, scripted: bool = False) -> str:
    """Export with ``dynamo=False``, T and B dynamic, and run the file."""
    inputs, state = example(length, B)
    leaves = tree_leaves(state)
    names = ["inputs", *(f"state_{number}" for number, _ in enumerate(leaves))]
    dynamic = {name: {list(leaf.shape).index(B): "B"} for name, leaf in zip(names[1:], leaves, strict=True)}
    file = io.BytesIO()
    torch.onnx.export(
        script(net, example) if scripted else net,
        (inputs, state),
        file,  # type: ignore[arg-type]
        dynamo=False,
        input_names=names,
        dynamic_axes={"inputs": {0: "T", 1: "B"}, **dynamic},
    )
    return told(onnx.load_from_string(file.getvalue()), net, example, length)


def try_capture(net: nn.Module, example: Example) -> str:
    """Trace one step with this package, fold it, and run the file."""
    program = step.capture(inspect_module(net, example(T, B)))
    return told(program.proto(), net, example, T)


def own_layer(layer_class: Any) -> tuple[nn.Module, Example]:
    """Make a one-layer net of torch.nn with default options."""

    def example(steps: int, batch: int) -> tuple[Tensor, Any]:
        state = torch.randn(1, batch, H)
        return torch.randn(steps, batch, I), (state, state.clone()) if layer_class is nn.LSTM else state

    return layer_class(I, H).eval(), example


def third_party(name: str) -> tuple[nn.Module, Example]:
    """Make a layer of the package torchrecurrent."""
    layer = getattr(torchrecurrent, name)(8, 8 if name in SAME_SIZE else 12).eval()
    with torch.no_grad():
        _, first = layer(torch.randn(2, 7, 8))

    def example(steps: int, batch: int) -> tuple[Tensor, Any]:
        def leaf(tensor: Tensor) -> Tensor:
            return torch.randn([batch if size == 7 else size for size in tensor.shape]) * 0.1

        return torch.randn(steps, batch, 8), torch.utils._pytree.tree_map(leaf, first)

    return layer, example


def try_layer(layer_class: Any, *, again: bool = False, **options: Any) -> str:
    """Export a layer of torch.nn; ``again`` tells of the second time in one process."""
    if again:
        try_dynamo(*own_layer(layer_class), **options)
    return try_dynamo(*own_layer(layer_class), **options)


def try_third_party(attempt: Callable[[nn.Module, Example], str], name: str) -> str:
    """Try something on a layer of torchrecurrent."""
    return attempt(*third_party(name))


def scratch(attempt: Callable[..., str], make: Callable[[], nn.Module], **options: Any) -> str:
    """Try something on the scratch net."""
    return attempt(make(), scratch_example, **options)


def any_size() -> tuple[Any, Any]:
    """Leave it to the exporter how T and B are constrained."""
    return torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC


ROWS: dict[str, Callable[[], str]] = {
    "torch.jit.script(model) as written": partial(scratch, try_script, notebook),
    "torch.jit.script(model, example_inputs=[...])": partial(scratch, try_script, notebook, typed=True),
    'torch.onnx.export(dynamo=True), Dim("T")': partial(scratch, try_dynamo, notebook),
    "torch.onnx.export(dynamo=True), Dim.DYNAMIC": partial(scratch, try_dynamo, notebook, dims=any_size),
    "torch.onnx.export(dynamo=False) of a trace": partial(scratch, try_old, notebook),
    "torch.onnx.export(dynamo=False) of the annotated script": partial(
        scratch, try_old, annotated, scripted=True
    ),
    "rewritten to the private scan operator, dynamo=True": partial(scratch, try_dynamo, WithScan),
    "nn.RNN, dynamo=True": partial(try_layer, nn.RNN, dims=any_size),
    "nn.GRU, dynamo=True, verify=True": partial(try_layer, nn.GRU, dims=any_size, verify=True),
    "nn.LSTM, dynamo=True, verify=True": partial(try_layer, nn.LSTM, dims=any_size, verify=True),
    "nn.GRU, dynamo=True, second time in one process": partial(try_layer, nn.GRU, dims=any_size, again=True),
    "the step of the net as written, folded (this package)": partial(scratch, try_capture, notebook),
}
METHODS: dict[str, Callable[[nn.Module, Example], str]] = {
    "torch.jit.script": try_script,
    "torch.onnx.export(dynamo=False)": partial(try_old, length=SHORT),
    "torch.onnx.export(dynamo=True)": partial(try_dynamo, length=SHORT),
    "the step, folded (this package)": try_capture,
}


def outcome(attempt: Callable[[], str]) -> str:
    """Run a row, in the process that is made for it."""
    torch.manual_seed(0)
    try:
        with quiet():
            return attempt()
    except Exception as error:  # whatever an exporter raises is the finding
        return f"fails: {reason(error)}"


def silence() -> None:
    """Keep what is written by an exporter's C++ side out of the table."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def run_all(attempts: Sequence[Callable[[], str]]) -> list[str]:
    """Run each in a fresh process, some at once."""
    fork = multiprocessing.get_context("fork")  # torch is imported once, and untouched in each child
    with fork.Pool(os.cpu_count(), silence, maxtasksperchild=1) as pool:
        waiting = [pool.apply_async(outcome, (attempt,)) for attempt in attempts]
        return [_result(result) for result in waiting]


def _result(waiting: Any) -> str:
    try:
        return str(waiting.get(TIME_LIMIT))
    except multiprocessing.TimeoutError:
        return f"no answer after {TIME_LIMIT:.0f} s"


def rows(only: Sequence[str] = (), layers: Sequence[str] = LAYERS) -> list[tuple[str, str]]:
    """Try everything whose name holds one of some words; give name and result of each row."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    single = {name: attempt for name, attempt in ROWS.items() if wanted(name)}
    titles = {f"{len(layers)} layers of torchrecurrent: {name}": method for name, method in METHODS.items()}
    methods = {title: method for title, method in titles.items() if wanted(title)}
    each = [partial(try_third_party, method, name) for method in methods.values() for name in layers]
    results = run_all([*single.values(), *each])
    found = list(zip(single, results, strict=False))
    for number, title in enumerate(methods):
        start = len(single) + number * len(layers)
        found.append((title, _count(layers, results[start : start + len(layers)])))
    return found


def _count(layers: Sequence[str], results: Sequence[str]) -> str:
    """Say how many layers came out right, and what became of the others."""
    pairs = list(zip(layers, results, strict=True))
    wrong = [(name, result) for name, result in pairs if not result.endswith("right")]
    if not wrong:
        return f"{len(pairs)} right"
    kinds = Counter(_kind(result) for _, result in wrong)
    [(most, times)] = kinds.most_common(1)
    name, result = next(pair for pair in wrong if _kind(pair[1]) == most)
    return f"{len(pairs) - len(wrong)} right; {times} like {name}: {result}"


def _kind(result: str) -> str:
    return re.sub(r"\d+", "#", result)


def main(
    only: Annotated[list[str] | None, typer.Option(help="Rows that hold this word only.")] = None,
) -> None:
    """Try every exporter and print what came out."""
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    table = Table("Tried", "Result", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, result in rows(only or ()):
        table.add_row(escape(name), escape(result))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
