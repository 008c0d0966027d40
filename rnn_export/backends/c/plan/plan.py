"""What stands where while a net runs, and how much of it at once."""

from collections import Counter
from dataclasses import dataclass, field

from rnn_export.backends.c.plan.buffers import Buffers, row_length
from rnn_export.backends.c.plan.schedule import ALONE, Group, stages
from rnn_export.backends.c.trace.graph import (
    AFFINE,
    BOOL,
    DOT,
    FLOAT,
    GATHER,
    INPUT,
    INT,
    LOOKUP,
    STATE,
    Constant,
    Net,
    Op,
    View,
)
from rnn_export.signature.signature import BATCH, Signature

SLOTS = 64  # rows times time steps that are computed together, at the most
STACK = 256 << 10  # bytes of the buffers of a pass, about
BYTES = {FLOAT: 4, INT: 8, BOOL: 4}
SHORT = {"Affine": "a", "Dot": "a", "Input": "kept"}
SINGLE = frozenset({AFFINE, DOT, GATHER, LOOKUP})  # read number by number, and never behind the last one


@dataclass
class Plan:
    """The stages of a net's passes, and its buffers.

    ``workspace`` and ``slots`` are sizes that the header tells as well: floats for each row and time step
    that a pass leaves to a later one, and the rows times time steps of a block.
    """

    net: Net
    signature: Signature
    workspace: int = 0
    saved: list[tuple[Op, int]] = field(default_factory=list)  # what goes to the workspace, and where

    def __post_init__(self) -> None:
        self._carry()
        self.names = self._named()
        self.stages = [stages(self.net, number) for number in range(len(self.net.passes))]
        self.stored = self._stored()
        self.buffers = Buffers(self.net, self.names, self._direct())
        self.slots = self._slots()

    def _named(self) -> dict[Op, str]:
        """Name all operations: arguments as the call does, where there is but one of a name."""
        leaves = {op: self._leaf(op) for op in self.net.ops}
        counts = Counter(leaves.values())
        return {
            op: leaf if leaf and counts[leaf] == 1 else f"{SHORT.get(op.kind, op.kind.lower())}_{number}"
            for number, (op, leaf) in enumerate(leaves.items())
        }

    def _leaf(self, op: Op) -> str:
        """Give the argument of the call that an operation is, or begins with."""
        if op.kind == STATE:
            found = {view.op.attributes["leaf"] for view in op.places if isinstance(view, View)}
            return found.pop() if len(found) == 1 else ""
        return self.signature.inputs.name if self.is_inputs(op) else ""

    def is_inputs(self, op: Op) -> bool:
        """Whether an operation is the inputs of a time step."""
        return op.kind == INPUT and op.attributes["leaf"] == self.signature.inputs.name

    def _carry(self) -> None:
        """Let a pass read what an earlier one made, out of the workspace."""
        loaded: dict[tuple[Op, int], Op] = {}
        offsets: dict[Op, int] = {}
        for op in list(self.net.ops):
            if op.kind in (STATE, INPUT):
                continue

            def move(view: View | Constant | None, number: int = op.pass_number) -> View | Constant | None:
                if not isinstance(view, View) or view.op.pass_number == number:
                    return view
                if view.op.kind == INPUT:
                    attributes = dict(view.op.attributes)
                else:
                    if view.op not in offsets:
                        offsets[view.op] = self.workspace
                        self.saved.append((view.op, self.workspace))
                        self.workspace += view.op.size
                    attributes = {"leaf": "workspace", "offset": offsets[view.op]}
                key = view.op, number
                if key not in loaded:
                    source = Op(INPUT, view.op.size, view.op.dtype, attributes=attributes, pass_number=number)
                    loaded[key] = source
                    self.net.ops.insert(0, source)
                return View(loaded[key], view.offset, view.size, view.step)

            op.operands = [move(view) for view in op.operands]  # type: ignore[misc]
            op.places = [move(view) for view in op.places]  # type: ignore[misc]
            op.start = move(op.start)  # type: ignore[assignment]

    def _groups(self) -> list[Group]:
        return [group for part in self.stages for stage in part for group in stage.groups]

    def _stored(self) -> set[Op]:
        """Find what more than its own group reads."""
        inside = {known.op for group in self._groups() for known in group.products}
        home = {op: group for group in self._groups() for op in group.ops}
        found = {op for op, _ in self.saved}
        found |= {op for op in self.net.ops if op.kind in ALONE and op not in inside}
        for op, uses in self.net.uses().items():
            for user, view in uses if op not in inside else ():
                outside = user is None or home.get(user) is not home.get(op)
                if outside or (user and (user.kind in ALONE or user in inside)) or view.size != op.size:
                    found.add(op)
        return found | {state.following.op for state in self.net.states() if state.following}

    def _direct(self) -> set[Op]:
        """Find the inputs that may be read where the caller has them: forward, and number by number."""
        uses = self.net.uses()
        return {
            op
            for op in self.net.ops
            if self.is_inputs(op)
            and not self.net.passes[op.pass_number].reverse
            and all(user is not None and user.kind in SINGLE for user, _ in uses[op])
        }

    @property
    def evenly(self) -> bool:
        """Whether the rows of a whole batch stand evenly spaced over all time steps: the time in front."""
        return self.signature.inputs.shape.index(BATCH) == 1

    def buffered(self, number: int) -> list[Op]:
        """List what has a buffer in a pass, the states left out."""
        return [
            op
            for op in self.net.ops
            if op.pass_number == number
            and op.start is None
            and op not in self.buffers.owners
            and (op in self.stored if op.kind != INPUT else self._is_sequence(op))
            and op.kind != STATE
        ]

    def _is_sequence(self, op: Op) -> bool:
        return op.attributes["leaf"] in (self.signature.inputs.name, "workspace")

    def _bytes(self) -> int:
        """Give the bytes of all buffers for each slot."""
        sizes = [sum(map(_row_bytes, self.buffered(number))) for number in range(len(self.net.passes))]
        return max(sizes) + 2 * sum(map(_row_bytes, self.net.states()))

    def _slots(self) -> int:
        most = STACK // max(1, self._bytes())
        return max(1, min(SLOTS, most - most % 4 if most >= 4 else most))

    def stack(self) -> int:
        """Give the bytes of all buffers."""
        return self.slots * self._bytes()


def _row_bytes(op: Op) -> int:
    return row_length(op.size) * BYTES[op.dtype]
