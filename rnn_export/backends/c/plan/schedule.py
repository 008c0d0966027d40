"""When everything is computed: stages of a pass, and groups of elementwise operations that share a loop.

A pass works on blocks of rows, and on a few time steps at once: a slot is one row at one time step. What is
on no cycle through the state is computed for all slots of a block together, before, between or after the
loops; a loop goes through them time step by time step.
"""

from dataclasses import dataclass, field

from rnn_export.backends.c.plan.merge import components
from rnn_export.backends.c.trace.graph import (
    AFFINE,
    DOT,
    GATHER,
    INPUT,
    LOOKUP,
    PRODUCT,
    REDUCE,
    STATE,
    Net,
    Op,
    View,
    is_whole,
)
from rnn_export.backends.c.write.tiles import VECTORS, Gates, gates

Uses = dict[Op, list[tuple[Op | None, View]]]
ALONE = frozenset({AFFINE, DOT, GATHER, LOOKUP, PRODUCT, REDUCE})


@dataclass
class Group:
    """Operations in one loop over the numbers of a vector; those of ``ALONE`` have one each."""

    ops: list[Op]
    whole: bool = False  # whether it holds whole numbers: one by one, not in vectors
    products: list[Gates] = field(default_factory=list)  # whose sums the operations read out of registers

    @property
    def size(self) -> int:
        """The numbers of each vector."""
        return self.ops[0].size


@dataclass
class Stage:
    """Groups that run for all slots, or time step by time step."""

    loop: bool
    ops: list[Op] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def stages(net: Net, number: int) -> list[Stage]:
    """Order a pass."""
    found: list[Stage] = []
    for component in components(net, number):
        ops = [op for op in component if op.kind not in (STATE, INPUT)]
        loop = len(component) > 1
        if loop or not found or found[-1].loop:
            found.append(Stage(loop))
        found[-1].ops += ops
    uses = net.uses()
    for stage in found:
        stage.groups = _fused(_grouped(stage.ops), uses)
    return [stage for stage in found if stage.ops]


def _grouped(ops: list[Op]) -> list[Group]:
    """Put operations in an order in which many elementwise ones are neighbours."""
    waiting, done, groups = list(ops), set(), list[Group]()
    inside = set(ops)
    while waiting:
        ready = [op for op in waiting if all(s in done or s not in inside for s in op.sources())]
        last = groups[-1] if groups else None
        joining = [op for op in ready if last is not None and _joins(op, last)]
        alone = [op for op in ready if op.kind in ALONE]
        op = (joining or alone or ready)[0]
        if joining and last is not None:
            last.ops.append(op)
        else:
            groups.append(Group([op], is_whole(op)))
        waiting.remove(op)
        done.add(op)
    return groups


def _joins(op: Op, group: Group) -> bool:
    if op.kind in ALONE or group.ops[0].kind in ALONE:
        return False
    if op.size != group.size or is_whole(op) != group.whole:
        return False
    return all(
        operand.offset == 0 and operand.size == operand.op.size and operand.step
        for operand in op.operands
        if isinstance(operand, View) and operand.op in group.ops
    )


def _fused(groups: list[Group], uses: Uses) -> list[Group]:
    """Let elementwise operations take in the products that nobody else reads."""
    for group in [group for group in groups if group.ops[0].kind not in ALONE and not group.whole]:
        found = [
            gates(other.ops[0], [user for user, _ in uses[other.ops[0]]], group.ops, group.size)
            for other in groups
        ]
        room = VECTORS
        for known in filter(None, found):
            if known.count <= room:
                room -= known.count
                group.products.append(known)
    inside = {known.op for group in groups for known in group.products}
    return [group for group in groups if group.ops[0] not in inside]
