"""What the tests of passes share: every stage of each fold, made once, and what becomes of its loops."""

import onnx_ir as ir

from rnn_export.capture import step
from rnn_export.module.reading import inspect_module
from rnn_export.passes import pipeline
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.time.recurrences import recurrent_nodes
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan
from tests.support.cases import FOLDS, ModelCase

STAGES: dict[str, list[pipeline.Stage]] = {}


def stages(case: ModelCase) -> list[pipeline.Stage]:
    """Give every stage of a fold, which others share: ask for it before anything is patched."""
    if case.name not in STAGES:
        STAGES[case.name] = pipeline.optimize(step.capture(inspect_module(*case.build())))
    return STAGES[case.name]


def form(case: ModelCase, name: str) -> Program:
    return next(stage.program for stage in stages(case) if stage.form == name)


def operators(program: Program) -> list[str]:
    return [node.op_type for node in unguarded(program.model).graph]


def off_cycle(scan: ir.Node) -> set[ir.Node]:
    """Give the nodes of a loop that lie on no cycle through its state.

    Copies that make the outputs of the body distinct, as ONNX Runtime needs them, do not count.
    """
    loop = Scan(scan)
    copies = {node for node in loop.body if node.op_type == "Identity" and node.outputs[0].is_graph_output()}
    return set(loop.body) - copies - recurrent_nodes(loop)


EXPECTED = {
    "notebook": ["RNN"],
    "rnn": ["RNN"],
    "gru": ["GRU"],
    "lstm": ["LSTM"],
    "one_unit": ["RNN"],
    "wide": ["GRU"],
    "deep_rnn": ["RNN", "RNN"],
    "deep_mixed": ["GRU", "LSTM", "RNN"],
    "char_rnn": ["GRU"],
    "char_deep": ["LSTM", "RNN"],
    "tensor_state": ["RNN"],
    # ONNX Runtime has these operators in float32 only, and the others are none of the three.
    "rnn_float64": ["Scan"],
    "lstm_float64": ["Scan"],
    "list_state": ["Scan", "Scan"],
    "layers_first": ["RNN", "RNN"],
    "starts_elsewhere": ["RNN", "Scan"],
}

FUSED = next(case for case in FOLDS if case.name == "gru")
