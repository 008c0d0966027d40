"""What turns a Program into a better one; one file a pass.

:func:`optimize` runs them in order. After each, the Program is run on random calls and has to give what it
gave before.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnn_export.errors import PassError
from rnn_export.passes import lengths
from rnn_export.passes.cleanup import constant_folding, layers, products, simplify, unit_axes
from rnn_export.passes.operators import recognize, rnn_as_gru
from rnn_export.passes.time import distribute, last_step, regroup
from rnn_export.program.agree import agree
from rnn_export.program.program import Program

# In order. A pass with a form leaves a Program behind that is worth shipping.
PASSES: tuple[tuple[Callable[[Program], Program], str], ...] = (
    (constant_folding.fold, ""),
    (simplify.simplify, ""),
    (unit_axes.squeeze, ""),
    (layers.unstack, ""),
    (lengths.lengths, ""),
    (constant_folding.fold, ""),
    (simplify.simplify, "step"),
    (regroup.regroup, ""),
    (distribute.distribute, ""),
    (constant_folding.fold, ""),
    (simplify.simplify, ""),
    (unit_axes.squeeze, ""),
    (last_step.last, ""),
    (simplify.simplify, ""),
    (products.products, ""),
    (constant_folding.fold, ""),
    (simplify.simplify, "scan"),
    (recognize.fuse, ""),
    (constant_folding.fold, ""),
    (simplify.simplify, "operator"),
    (rnn_as_gru.gate, ""),
    (simplify.simplify, "gated"),
)


@dataclass(frozen=True)
class Stage:
    """A Program after a pass; ``form`` is what it is called if it is worth shipping."""

    name: str
    form: str
    program: Program

    def operators(self) -> Counter[str]:
        """Count the operators, inside of loops as well."""
        return Counter(node.op_type for graph in self.program.model.graphs() for node in graph)


def optimize(program: Program) -> list[Stage]:
    """Run all passes; give the Program after each, the untouched one first.

    Raises:
        PassError: a pass changed what the Program computes.
        LengthsError: the Program is to take lengths, and cannot.
    """
    stages = [Stage("capture", "", program)]
    for run, form in PASSES:
        after = run(stages[-1].program)
        if not agree(stages[-1].program, after):
            raise PassError(f"pass {run.__name__} changed what the Program computes. Please report it.")
        stages.append(Stage(run.__name__, form, after))
    return stages


def forms_of(stages: Sequence[Stage]) -> dict[str, Program]:
    """Give the Programs worth shipping under their names, each but once."""
    forms: dict[str, Program] = {}
    for stage in stages:
        if stage.form and stage.program.proto() not in [program.proto() for program in forms.values()]:
            forms[stage.form] = stage.program
    return forms
