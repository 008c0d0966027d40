"""What a pass is: it changes a Program, says whether it did, and keeps to what it requires and ensures.

A pass is a function that changes a copy of the Program in place and says whether anything is different. What
it needs of the Program that comes, and what holds of the one that leaves, stands beside it as properties;
both are checked whenever it runs. Anchor: ``onnx_ir.passes``, which knows models without a signature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnn_export.errors import PassError, mismatch
from rnn_export.program.program import Program, name_apart, takes_lengths
from rnn_export.signature.tensors import LENGTHS

TURNS = 64  # of a rewriting of a whole graph that is repeated; as many for each node if it changes one


@dataclass(frozen=True)
class Property:
    """Something that holds of a Program or does not; ``text`` ends the sentence "a Program in which ..."."""

    text: str
    holds: Callable[[Program], bool]


@dataclass(frozen=True)
class Pass:
    """A rewriting of Programs, called like its module."""

    name: str
    rewrite: Callable[[Program], bool]
    requires: tuple[Property, ...] = ()
    ensures: tuple[Property, ...] = ()

    def __call__(self, program: Program) -> Program:
        """Give the Program that the pass makes of one; the very same one if there is nothing to change.

        Raises:
            PassError: the Program lacks what the pass requires, or afterwards what it ensures.
        """
        self._check(program, self.requires, "before")
        changed = program.copy()  # stages are compared, shown and shipped: none may change later
        if self.rewrite(changed):
            name_apart(changed.model)
            program = changed
        self._check(program, (*self.ensures, INTERFACE), "after")
        return program

    def _check(self, program: Program, properties: Sequence[Property], when: str) -> None:
        for each in properties:
            if not each.holds(program):
                expected, remedy = f"a Program in which {each.text}", "Please report it."
                raise PassError(mismatch(f"{when} pass {self.name}", expected, "another", remedy))


def rewriting(
    requires: Sequence[Property] = (), ensures: Sequence[Property] = ()
) -> Callable[[Callable[[Program], bool]], Pass]:
    """Make a pass of a function that changes a Program in place and says whether it did."""

    def make(rewrite: Callable[[Program], bool]) -> Pass:
        name = rewrite.__module__.rpartition(".")[2]
        return Pass(name, rewrite, tuple(requires), tuple(ensures))

    return make


def settle(rewrite: Callable[[], bool], most: int = TURNS) -> bool:
    """Rewrite again and again until nothing changes; say whether anything did.

    Whoever repeats a rewriting says why it ends. Should one not end after all, it stops after ``most`` turns,
    far more than any graph takes: the Program is a right one then, and what the pass ensures is checked.
    """
    turns = next((turn for turn in range(most) if not rewrite()), most)
    return turns > 0


def _has_its_interface(program: Program) -> bool:
    if program.signature is None:
        return True
    inputs = [value.name for value in program.model.graph.inputs]
    outputs = [value.name for value in program.model.graph.outputs]
    wanted = [
        name for name in program.signature.input_names if name != LENGTHS.name or takes_lengths(program)
    ]
    return inputs == wanted and outputs == list(program.signature.output_names)


def _has_constants_outside(program: Program) -> bool:
    nodes = [node for graph in program.model.graphs() for node in graph if node.op_type == "Constant"]
    return all(node.outputs[0].is_graph_output() for node in nodes)


def _has_distinct_outputs(program: Program) -> bool:
    return all(len(set(graph.outputs)) == len(graph.outputs) for graph in program.model.graphs())


INTERFACE = Property("inputs and outputs are those of the signature, in its order", _has_its_interface)
CONSTANTS_OUTSIDE = Property(
    "every constant that is no output is an initializer of the graph", _has_constants_outside
)
# ONNX Runtime takes no body of a loop that gives one value twice.
DISTINCT_OUTPUTS = Property("no graph gives one value twice", _has_distinct_outputs)
