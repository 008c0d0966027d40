"""Time the forms of the scratch nets in ONNX Runtime: the table behind rnn_export/passes/choose.py.

One thread; the forms take turns on the same inputs; medians in microseconds a call. Read the ratios: no
machine is quiet. Run: .venv/bin/python scripts/bench.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from rnn_export.frontends import script, step
from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch
from rnn_export.passes import optimize
from rnn_export.signature import Array, Signature
from rnn_export.subject import examine

ERRORS_ONLY = 3
ROUNDS = 41
SHAPES: list[tuple[type[nn.Module], int, int, int, int]] = [  # cell, inputs, hidden, time steps, batch
    (RNNScratch, 16, 32, 100, 2),
    (RNNScratch, 16, 32, 1000, 1),
    (RNNScratch, 16, 32, 1, 1),
    (RNNScratch, 16, 32, 100, 16),
    (RNNScratch, 16, 32, 100, 64),
    (RNNScratch, 64, 128, 100, 1),
    (RNNScratch, 64, 128, 100, 64),
    (GRUScratch, 16, 32, 100, 2),
    (GRUScratch, 64, 128, 100, 16),
    (GRUScratch, 64, 128, 100, 64),
    (LSTMScratch, 16, 32, 100, 64),
    (LSTMScratch, 64, 128, 100, 16),
    (LSTMScratch, 64, 128, 100, 64),
]
FORMS = ("loop", "step", "scan", "operator")


def forms(
    cell: type[nn.Module], inputs: int, hidden: int
) -> tuple[dict[str, Callable[..., object]], Signature]:
    """Make a session for every form of a net, as they would be before one is chosen."""
    torch.manual_seed(0)
    net = cell(inputs, hidden, 1, sigma=0.1)
    subject = examine(net, (torch.rand(7, 2, inputs), net.begin_state(2, torch.device("cpu"))))  # type: ignore[operator]
    models = {stage.form: stage.program.proto() for stage in optimize(step.capture(subject)) if stage.form}
    models["loop"] = script.export_loop(script.script(subject), subject)
    return {form: session(models[form]) for form in FORMS}, subject.signature


def session(model: onnx.ModelProto) -> Callable[..., object]:
    """Load a model as the runtime of this package does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    run: Callable[..., object] = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).run
    return run


def medians(calls: dict[str, Callable[..., object]], feeds: dict[str, Array]) -> dict[str, float]:
    """Give each form's median time of a call in microseconds, the forms taking turns."""
    times: dict[str, list[float]] = {form: [] for form in calls}
    for _ in range(ROUNDS):
        for form, run in calls.items():
            start = time.perf_counter()
            run(None, feeds)
            times[form].append((time.perf_counter() - start) * 1e6)
    return {form: statistics.median(values) for form, values in times.items()}


def main() -> None:
    """Time all shapes and print the table."""
    table = Table("Cell", *("H", "T", "B"), *FORMS, "loop / best", title="Microseconds a call")
    random = np.random.default_rng(0)
    for cell, inputs, hidden, steps, batch in SHAPES:
        calls, signature = forms(cell, inputs, hidden)
        drawn = random.standard_normal((steps, batch, inputs)).astype(np.float32)
        feeds = dict(zip(signature.input_names, (drawn, *signature.initial_state(batch)), strict=True))
        measured = medians(calls, feeds)
        best = measured["loop"] / min(measured.values())
        numbers = [*map(str, (hidden, steps, batch)), *(f"{measured[form]:.0f}" for form in FORMS)]
        table.add_row(cell.__name__, *numbers, f"{best:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
