"""What turns a Program into a better one; one file a pass.

:func:`optimize` runs them in order. Each says whether it changed anything, and what it requires and ensures
is checked (:mod:`rnn_export.passes.contract`). A Program that was changed is run on random calls and has to
give what it gave before.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from rnn_export.errors import PassError
from rnn_export.failures import typed
from rnn_export.passes import lengths
from rnn_export.passes.cleanup import constant_folding, layers, products, simplify, unit_axes
from rnn_export.passes.contract import Pass
from rnn_export.passes.operators import guard, recognize, rnn_as_gru
from rnn_export.passes.time import distribute, last_step, no_steps, regroup
from rnn_export.program.agree import Known, agree
from rnn_export.program.program import Program, weights_apart
from rnn_export.signature.tensors import Array

# In order. A pass with a form leaves a Program behind that is worth shipping.
PASSES: tuple[tuple[Pass, str], ...] = (
    (constant_folding.fold_constants, ""),
    (simplify.simplify, ""),
    (unit_axes.remove_unit_axes, ""),
    (layers.separate_layers, ""),
    (lengths.lengths, ""),
    (constant_folding.fold_constants, ""),
    (simplify.simplify, "step"),
    (regroup.regroup, ""),
    (distribute.distribute, ""),
    (constant_folding.fold_constants, ""),
    (simplify.simplify, ""),
    (unit_axes.remove_unit_axes, ""),
    (last_step.last_step, ""),
    (simplify.simplify, ""),
    (products.products, ""),
    (constant_folding.fold_constants, ""),
    (simplify.simplify, "scan"),
    (recognize.recognize, ""),
    (constant_folding.fold_constants, ""),
    (simplify.simplify, ""),
    (guard.guard, ""),
    (simplify.simplify, "operator"),
    (rnn_as_gru.rnn_as_gru, ""),
    (simplify.simplify, "gated"),
)


@dataclass(frozen=True)
class Stage:
    """A Program after a pass; ``form`` is what it is called if it is worth shipping.

    ``changed`` says whether it is another one than before the pass.
    """

    name: str
    form: str
    program: Program
    changed: bool

    def operators(self) -> Counter[str]:
        """Count the operators, inside of loops as well."""
        return Counter(node.op_type for graph in self.program.model.graphs() for node in graph)


def optimize(program: Program) -> list[Stage]:
    """Run all passes; give the Program after each, the untouched one first.

    Raises:
        PassError: a pass changed what the Program computes, or what it requires or ensures does not hold.
        LengthsError: the Program is to take lengths, and cannot.
    """
    stages, known = [Stage("capture", "", program, changed=True)], Known()
    for each, form in PASSES:
        before = stages[-1].program
        after = run(each, before, known)
        stages.append(Stage(each.name, form, after, changed=after is not before))
    return stages


def run(each: Pass, before: Program, known: Known | None = None) -> Program:
    """Run a pass; give what it makes of a Program. ``known`` is what Programs have given: see :func:`agree`.

    Raises:
        PassError: it changed what the Program computes, or what it requires or ensures does not hold.
    """
    with typed(f"pass {each.name}", PassError, "Please report it."):
        after = each(before)
        if after is not before and not agree(before, after, known=known):
            raise PassError(f"pass {each.name} changed what the Program computes. Please report it.")
    return after


def forms_of(stages: Sequence[Stage]) -> dict[str, Program]:
    """Give the Programs worth shipping under their names, each but once.

    An operator that was there from the start, even in the body of a loop, is guarded in each of them.
    """
    forms: dict[str, Program] = {}
    apart = list[tuple[ModelProto, dict[str, Array]]]()
    for stage in stages:
        if stage.form:
            program = guard.guard(stage.program)
            if any(map(guard.is_guard, program.model.graph)):
                program = no_steps.no_steps(program)  # each by itself: no operator stands in two branches
            own = weights_apart(program.model)
            if not any(_same(own, other) for other in apart):
                forms[stage.form] = program
                apart.append(own)
    return forms


def _same(one: tuple[ModelProto, dict[str, Array]], other: tuple[ModelProto, dict[str, Array]]) -> bool:
    """Whether two Programs taken apart are the same, to the bit."""
    return one[0] == other[0] and all(
        own is weight or np.array_equal(_bits(own), _bits(weight))
        for own, weight in zip(one[1].values(), other[1].values(), strict=True)
    )


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
