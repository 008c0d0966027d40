"""Names of C for the vectors and the constants of a model: as its source calls them, where that is known."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.trace.graph import Affine, Elementwise, Input, State, Vector, View

LONGEST = 48  # characters; names of several parameters that stand side by side are cut
# what tiles and loops make of the names of vectors
LOCAL = re.compile(r"\w+_(j|copy|evenly|row|SIZE|ROW|WIDE)")
STORED = "to_"  # what the names of places begin with, to which a tile writes
RESERVED = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int
    long register restrict return short signed sizeof static struct switch typedef union unsigned void
    volatile while linux unix NULL memcpy memmove memset
    at back batch begin behind best buffers c call column constant count each evenly fit from gates
    group i index item j k known last left lengths m most n panel patches place r result right room row
    rows run_all run_row run_rows run_step s slot slots state state_in state_out steps sum t tall_ to
    totals u update v value walk whole workspace
    """.split()  # noqa: SIM905
)


@dataclass
class Names:
    """Gives every name once, and none that the code beside it has.

    >>> names = Names({"rows"})
    >>> [names.new(name) for name in ("W_xh", "rnn.W_hh", "W_xh", "rows", "", "to_norm")]
    ['W_xh', 'rnn_W_hh', 'W_xh_2', 'rows_2', 'constants', 'own_to_norm']
    """

    taken: set[str]
    own: set[str] = field(default_factory=set)

    def new(self, wanted: str) -> str:
        """Give a name of C that is as close as can be to the one that is wanted."""
        wanted = _together(wanted)
        plain = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")[:LONGEST].strip("_") or "constants"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        plain = f"own_{plain}" if plain.startswith(STORED) else plain
        stem, _, last = plain.rpartition("_")
        name, stem, number = (plain, stem, int(last)) if stem and last.isdecimal() else (plain, plain, 1)
        while name in self.taken or name in self.own or name in RESERVED or LOCAL.fullmatch(name):
            number += 1
            name = f"{stem}_{number}"
        self.own.add(name)
        return name


def _together(wanted: str) -> str:
    """Name several parameters of one module, and the module but once.

    >>> _together("cell.W_xi, cell.W_xf")
    'cell.W_xi, W_xf'
    """
    first, *others = wanted.split(", ")
    module = first.rpartition(".")[0] + "."
    same = all(other.startswith(module) for other in others)
    return ", ".join([first, *(other.removeprefix(module) for other in others)]) if same else wanted


def vector_names(plan: Plan, names: Names) -> dict[Vector, str]:
    """Name all vectors: arguments of the call first, then what the source has a name for, then the rest.

    A state is called like what it becomes; what it becomes is ``next_`` and that name. What is added to
    another vector, in that one's place, has the name of the two.
    """
    found: dict[Vector, str] = {}
    following = plan.buffers.owners  # from what a state becomes to the state

    def own(vector: Vector) -> Vector:
        return plan.buffers.place(vector).owner if vector.start else vector

    def name(vectors: Iterable[Vector], wanted: Callable[[Vector], str]) -> None:
        for vector in vectors:
            if own(vector) not in found and (text := wanted(vector)):
                found[own(vector)] = names.new(text)

    vectors = plan.net.vectors
    name(vectors, lambda vector: plan.input_of(vector).name if plan.is_inputs(vector) else "")
    name(plan.net.states(), _state_name)
    name(following, lambda vector: f"next_{found[following[vector]]}")
    for output, spec in zip(plan.net.outputs, plan.signature.outputs, strict=True):
        first = output.operands[0]
        if len(output.operands) == 1 and isinstance(first, View) and first.complete:
            name([first.vector], lambda _, own=spec.name: own)  # type: ignore[misc]
        else:
            names.new(spec.name)  # it is nobody else's
    name(vectors, lambda vector: vector.name)
    name(vectors, _stem)
    return {vector: found[own(vector)] for vector in vectors}


def _state_name(state: Vector) -> str:
    """Call a state like the variable that holds it, or like the leaf of the call that it begins with."""
    leaves = {
        view.vector.operation.leaf
        for view in state.operation.views()
        if isinstance(view.vector.operation, Input)
    }
    own = state.following.vector.name if state.following else ""
    return own or (leaves.pop() if len(leaves) == 1 else "hidden")


def _stem(vector: Vector) -> str:
    """Say what a vector is, for one that the source has no name for."""
    match vector.operation:
        case Elementwise(kind=kind):
            return f"{kind.lower()}_1"  # and not like a function of C
        case Affine():
            return "sums"
        case Input(leaf=leaf) if leaf:
            return leaf
        case State():
            return "hidden"
        case other:
            return type(other).__name__.lower()
