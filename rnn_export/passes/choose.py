"""Which form becomes ``model.onnx``: a rule on the example's batch and the size of its state.

Microseconds a call in ONNX Runtime 1.32, one thread, T = 100 (``scripts/bench.py``):

    cell   H    B      step    scan   operator
    RNN    32    2      236      94        82
    RNN    32   16      340     212       712
    RNN   128    1      341     173       191
    RNN   128   64     3973    4329     14916
    GRU    32    2      739     594        89
    GRU   128   16     3546    3824      3333
    GRU   128   64    11740   14720     14441
    LSTM   32   64     2506    3133      2251
    LSTM  128   16     5603    5828      4076
    LSTM  128   64    15317   19880     16260

The operator saves the loop's overhead, which is all that counts for a small ``B * H``; ONNX Runtime's RNN is
slow at arithmetic, its GRU and LSTM are not. For a large ``B * H`` a loop whose body reads the inputs itself
wins: the hoisted projections of all time steps no longer fit in the cache.
"""

from collections.abc import Mapping

from rnn_export.program import Program

# The largest batch times hidden size up to which a form is the fastest.
OPERATORS = {"RNN": 64, "GRU": 8191, "LSTM": 8191}
SCAN = 8191


def choose(forms: Mapping[str, Program], batch: int) -> str:
    """Give the name of the form that is fastest for a batch of this size."""
    [program, *_] = forms.values()
    sizes = (leaf.sized(batch=batch) for leaf in program.signature.state)
    work = max((_product(size) for size in sizes), default=0)
    if "operator" in forms:
        kinds = {node.op_type for node in forms["operator"].model.graph} & set(OPERATORS)
        if all(work <= OPERATORS[kind] for kind in kinds):
            return "operator"
    return "scan" if work <= SCAN else "step"


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
