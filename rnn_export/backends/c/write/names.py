"""Names for the constants of a model, as it calls its parameters."""

import re
from collections import Counter
from dataclasses import dataclass, field

from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.trace.graph import Affine, Elementwise, Input, State, Vector

LONGEST = 48  # characters; names of several parameters that stand side by side are cut
LOCAL = re.compile(r"(c|start|sum|to|w|x|y)_\d+")  # what tiles and loops call their own
KEYWORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int
    long register restrict return short signed sizeof static struct switch typedef union unsigned void
    volatile while
    begin call column constant count index inputs known lengths outputs result row run_all run_row
    run_rows slot slots state state_in state_out steps value walk workspace
    """.split()  # noqa: SIM905
)


@dataclass
class Names:
    """Gives every name once, and none that the code beside it has.

    >>> names = Names({"rows"})
    >>> [names.new(name) for name in ("W_xh", "rnn.W_hh", "W_xh", "rows", "")]
    ['W_xh', 'rnn_W_hh', 'W_xh_2', 'rows_2', 'constants']
    """

    taken: set[str]
    own: set[str] = field(default_factory=set)

    def new(self, wanted: str) -> str:
        """Give a name of C that is as close as can be to the one that is wanted."""
        plain = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")[:LONGEST].strip("_") or "constants"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        name, number = plain, 1
        while name in self.taken or name in self.own or name in KEYWORDS or LOCAL.fullmatch(name):
            number += 1
            name = f"{plain}_{number}"
        self.own.add(name)
        return name


def vector_names(plan: Plan) -> dict[Vector, str]:
    leaves = {op: _leaf(plan, op) for op in plan.net.vectors}
    counts = Counter(leaves.values())
    return {
        op: leaf if leaf and counts[leaf] == 1 else f"{_stem(op)}_{number}"
        for number, (op, leaf) in enumerate(leaves.items())
    }


def _stem(op):
    operation = op.operation
    if isinstance(operation, Elementwise):
        return operation.kind.lower()
    return (
        "a"
        if isinstance(operation, Affine)
        else "kept"
        if isinstance(operation, Input)
        else type(operation).__name__.lower()
    )


def _leaf(plan, op: Vector) -> str:
    """Give the argument of the call that an operation is, or begins with."""
    if isinstance(op.operation, State):
        found = {view.vector.operation.leaf for view in op.operation.views()}
        return found.pop() if len(found) == 1 else ""
    return plan.signature.inputs.name if plan.is_inputs(op) else ""
