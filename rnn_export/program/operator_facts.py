"""What is known of the operators of ONNX: which work entry by entry, what the recurrent ones take and give.

Names of inputs and defaults of attributes come from ONNX's own schemas. What stands here are the facts that
the schemas have in their prose alone.

Source: https://onnx.ai/onnx/operators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx.defs
import onnx.helper
import onnx_ir as ir

from rnn_export.program.program import OPSET

ELEMENTWISE = frozenset(
    """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp
    Floor Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max
    Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Recurrent:
    """A recurrent operator: the order of its gates in ``W``, ``R`` and ``B``, its states, its activations.

    The activations are those of one direction that are meant where none are given.
    """

    gates: str
    states: str
    activations: tuple[str, ...]


RECURRENT = {
    "RNN": Recurrent("i", "h", ("Tanh",)),
    "GRU": Recurrent("zrh", "h", ("Sigmoid", "Tanh")),
    "LSTM": Recurrent("iofc", "hc", ("Sigmoid", "Tanh", "Tanh")),
}
# X, W, R, B, sequence_lens, initial_h; LSTM alone has initial_c and P, behind what the others have.
RECURRENT_INPUTS = tuple(value.name for value in onnx.defs.get_schema("LSTM", OPSET, "").inputs)
SEQUENCE_LENS = RECURRENT_INPUTS.index("sequence_lens")


# Which functions ONNX Runtime (1.32) computes less exactly than PyTorch in the same dtype, and where. All
# others are right but for a few units in the last place; tests/capture/test_decompositions.py tries them.
_SKIPS = "may skip a NaN"
_NEAR_0 = "loses digits next to 0: it is off by up to 2e-7 there"
INEXACT = {
    "ArgMax": _SKIPS,
    "ArgMin": _SKIPS,
    "Celu": _NEAR_0,
    "Elu": _NEAR_0,
    "ReduceMax": _SKIPS,
    "ReduceMin": _SKIPS,
    "Selu": _NEAR_0,
    "Sigmoid": "loses digits below -3, and all of them below -18: it is off by up to 2e-7 there",
}


def inexact_functions(model: ir.Model) -> list[str]:
    """Name the functions of a model, activations of recurrent operators included, that are inexact."""
    named = {
        name for graph in model.graphs() for node in graph for name in (node.op_type, *_activations(node))
    }
    return sorted(named & set(INEXACT))


def _activations(node: ir.Node) -> Sequence[str]:
    if node.op_type not in RECURRENT:
        return ()
    return node.attributes.get_strings("activations", RECURRENT[node.op_type].activations)


@cache
def default_of(op_type: str, name: str) -> Any:
    """Give what an attribute is where it is left out; ``None`` if the schema has no default."""
    attribute = onnx.defs.get_schema(op_type, OPSET, "").attributes[name]
    given = attribute.default_value
    return onnx.helper.get_attribute_value(given) if given.type else None


def int_of(node: ir.Node, name: str) -> int:
    """Give an attribute that is a whole number, or its default."""
    return int(_given(node, name, node.attributes.get_int(name, None)))


def float_of(node: ir.Node, name: str) -> float:
    """Give an attribute that is a number, or its default."""
    return float(_given(node, name, node.attributes.get_float(name, None)))


def text_of(node: ir.Node, name: str) -> str:
    """Give an attribute that is a text, or its default."""
    given = _given(node, name, node.attributes.get_string(name, None))
    return given.decode() if isinstance(given, bytes) else given


def _given(node: ir.Node, name: str, value: Any) -> Any:
    return default_of(node.op_type, name) if value is None else value
