"""Which form becomes ``model.onnx``: a rule on the example's size and the size of the state.

Microseconds a call in ONNX Runtime 1.32, one thread, ``I`` inputs (``benchmarks/bench.py``):

    cell    I    H     T    B      loop    step    scan  operator   gated
    RNN    16   32     1    1        10       8       8         7       8
    RNN    16   32   100    2       377     189      72        70      56
    RNN    16   32   100    4       411     197      81       137      94
    RNN    16   32   100   64       780     517     437      2676    1531
    RNN    16   32  1000    1     11282    2066     720       504     363
    RNN    16   64   100    1       381     193      76        74      68
    RNN    32   64    35   32       241     183     150       796     451
    RNN    64  128   100    1       467     256     119       182     225
    RNN    64  256   100    1       686     474     291       487     749
    RNN    64  256   100   16      2013    1693    1599      5927    4761
    RNN   128  512   100   64     22473   21732   23709     58915   70087
    GRU    16   32   100    1       824     567     454        40
    GRU    16   32   100   64      1671    1350    1388      1255
    GRU    64  128   100    1      1105     813     663       268
    GRU    64  128   100   16      2563    2175    2164      1808
    GRU    64  128   100   64      6409    6032    7473      8000
    GRU    64  256   100   16      5289    4852    5220      4921
    LSTM   16   32   100    1       944     668     568        57
    LSTM   16   32   100   64      2034    1679    2001      1594
    LSTM   64  128   100    1      1290     965     842       320
    LSTM   64  128   100   16      2970    2631    2776      2033
    LSTM   64  128   100   64      8350    7980   10390      9121
    LSTM   64  512   100    1      6286    5900    5393      4638

An operator saves the loop's overhead, which is all that counts for a small ``B * H``; ONNX Runtime's RNN is
slow at arithmetic, its GRU and LSTM are not, so that an RNN held in a GRU (``gated``) pays after a few time
steps. For a large ``B * H`` a loop whose body reads the inputs itself wins: the hoisted projections of all
time steps no longer fit in the cache.
"""

from collections.abc import Mapping
from math import prod

import onnx_ir as ir

from rnn_export.passes.operators.guard import usual
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan

# The largest batch times hidden size up to which a form is the fastest.
OPERATORS = {"RNN": 64, "GRU": 8191, "LSTM": 8191}
SCAN = 8191
EXACT = "exact"  # the form that is made where no other one is right, and that is never as fast
SHORT = 16  # time steps up to which an RNN is no slower than a GRU that holds it


def rank(forms: Mapping[str, Program], time: int, batch: int) -> list[str]:
    """Name the forms, the one first that is the fastest for calls of this size."""
    loops = ["scan", "step"] if _work(forms.get("scan"), "Scan", batch) <= SCAN else ["step", "scan"]
    operators = ["operator", "gated"] if time <= SHORT else ["gated", "operator"]
    small = all(_work(forms.get("operator"), kind, batch) <= most for kind, most in OPERATORS.items())
    order = [*operators, *loops, EXACT] if small else [*loops, *operators, EXACT]
    return [form for form in order if form in forms]


def _work(program: Program | None, kind: str, batch: int) -> int:
    """Give the largest state of a kind of loop or operator, in numbers; ``batch`` is the rows where free."""
    nodes = [node for node in usual(program.model.graph) if node.op_type == kind] if program else []
    return max((prod(_sizes(state, batch)) for node in nodes for state in _states(node)), default=0)


def _states(node: ir.Node) -> list[list[int | ir.SymbolicDim]]:
    """Give the shapes of what a loop or an operator carries from step to step, as far as they are known."""
    if node.op_type != "Scan":
        inputs = node.inputs[0].shape if node.inputs[0] else None
        return [[inputs[1] if inputs else ir.SymbolicDim(None), node.attributes["hidden_size"].as_int()]]
    shapes = [value.shape for value in Scan(node).states]
    return [list(shape) for shape in shapes if shape is not None]


def _sizes(shape: list[int | ir.SymbolicDim], batch: int) -> list[int]:
    return [size if isinstance(size, int) else batch for size in shape]
