"""All that a call computes: the walks over time, the vectors that they make, and where the results stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.trace.graph import TIME_STEPS, Constant, Operand, State, Vector, View
from rnn_export.signature.sizes import Length


@dataclass
class Sweep:
    """One walk over time steps, forward or from the last to the first; it may be left open which."""

    reverse: bool | None = None
    clock: Length = TIME_STEPS


@dataclass(frozen=True)
class Output:
    """Where the numbers of a row of an output stand, at the steps of a clock or at the last one alone.

    Of one that has some for each place of a time step, ``inner`` is the axis of the places.
    """

    operands: list[Operand]
    clock: Length | None
    inner: int | None = None


@dataclass
class Net:
    """All that a call computes.

    Attributes:
        sweeps: the walks over time, in order.
        vectors: in an order in which each follows what it reads; a state's ``following`` may come later.
        outputs: where the numbers of each output stand.
        finals: for each leaf of the state that comes out, where its numbers stand after the call.
        left: what later walks read of earlier ones.
    """

    sweeps: list[Sweep]
    vectors: list[Vector]
    outputs: list[Output]
    finals: list[list[Operand]]
    left: list[Vector] = field(default_factory=list)

    def states(self, sweep: int | None = None) -> list[Vector]:
        """List the states, of one walk over time or of all."""
        return [
            vector
            for vector in self.vectors
            if isinstance(vector.operation, State) and sweep in (None, vector.sweep)
        ]

    def results(self) -> Iterator[View]:
        """List what is computed of the outputs and of the state that comes out."""
        every = (*(output.operands for output in self.outputs), *self.finals)
        for operand in (operand for operands in every for operand in operands):
            if isinstance(operand, View):
                yield operand

    def uses(self) -> dict[Vector, list[tuple[Vector | None, View]]]:
        """List who reads what of each vector; nobody in particular for results and the next time step."""
        found: dict[Vector, list[tuple[Vector | None, View]]] = {vector: [] for vector in self.vectors}
        for user in self.vectors:
            for view in user.operation.reads():
                if isinstance(view, View):
                    found[view.vector].append((user, View(view.vector, view.offset, view.count())))
            if user.following:
                view = user.following
                found[view.vector].append((None, View(view.vector, view.offset, view.count())))
        for view in (*self.results(), *(View(vector, 0, vector.size) for vector in self.left)):
            found[view.vector].append((None, view))
        return found


def side_by_side(numbers: Sequence[tuple[Vector, int] | float]) -> list[Operand]:
    """Put single numbers together: runs of neighbours, and runs of one number."""
    found: list[Operand] = []
    for number in numbers:
        last = found[-1] if found else None
        if not isinstance(number, tuple):
            if isinstance(last, Constant):
                found[-1] = Constant(np.append(last.values, number))
            else:
                found.append(Constant(np.array([number])))
            continue
        vector, place = number
        if isinstance(last, View) and last.vector is vector:
            if (last.size == 1 or last.step == 1) and place == last.offset + last.size:
                found[-1] = View(vector, last.offset, last.size + 1)
                continue
            if (last.size == 1 or last.step == 0) and place == last.offset:
                found[-1] = View(vector, last.offset, last.size + 1, 0)
                continue
        found.append(View(vector, place, 1))
    return found
