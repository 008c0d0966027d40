"""Which form becomes ``model.onnx``: a rule on the example's batch and the size of its state.

Microseconds a call in ONNX Runtime 1.32, one thread, T = 100 (``scripts/bench.py``):

    cell   H    B      step    scan   operator
    RNN    32    2      240      96        85
    RNN    32   16      332     203       669
    RNN   128    1      346     175       198
    RNN   128   64     3770    3953     14104
    GRU    32    2      749     580        87
    GRU   128   16     3491    3569      3120
    GRU   128   64    11599   13441     13282
    LSTM   32   64     2465    2819      1866
    LSTM  128   16     4475    4971      3690
    LSTM  128   64    15091   17958     14886

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
