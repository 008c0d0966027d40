"""When everything is computed: stages of a sweep, and groups of elementwise operations that share a loop.

A sweep works on blocks of rows, and on a few time steps at once: a slot is one row at one time step. What is
on no cycle through the state is computed for all slots of a block together, before, between or after the
loops; a loop goes through them time step by time step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rnn_export.backends.c.plan.merge import components
from rnn_export.backends.c.plan.tiles import VECTORS, Gates, gates
from rnn_export.backends.c.trace.graph import Elementwise, Input, State, Vector, View, on_integers
from rnn_export.backends.c.trace.net import Net
from rnn_export.backends.c.trace.operations import Each
from rnn_export.signature.sizes import Length

Uses = dict[Vector, list[tuple[Vector | None, View]]]


@dataclass
class Group:
    """Vectors that are made in one loop over their numbers; what is not elementwise is alone in its group."""

    vectors: list[Vector]
    scalar: bool = False  # whether it has integers: number by number, not in vectors
    products: list[Gates] = field(default_factory=list)  # whose sums the operations read out of registers

    @property
    def size(self) -> int:
        """The numbers of each vector."""
        return self.vectors[0].size

    @property
    def places(self) -> Length | None:
        """What there is one of each vector for at a time step."""
        return self.vectors[0].places

    @property
    def elementwise(self) -> bool:
        """Whether it holds elementwise operations."""
        return is_elementwise(self.vectors[0])


@dataclass
class Stage:
    """Groups that run for all slots, or time step by time step."""

    loop: bool
    vectors: list[Vector] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def is_elementwise(vector: Vector) -> bool:
    """Whether an elementwise operation makes a vector."""
    return isinstance(vector.operation, Elementwise)


def stages(net: Net, sweep: int) -> list[Stage]:
    """Order a sweep."""
    found: list[Stage] = []
    for component in components(net, sweep):
        vectors = [vector for vector in component if not isinstance(vector.operation, Each | Input | State)]
        loop = len(component) > 1
        if loop or not found or found[-1].loop:
            found.append(Stage(loop))
        found[-1].vectors += vectors
    uses = net.uses()
    for stage in found:
        stage.groups = _fused(_grouped(stage), uses)
    return [stage for stage in found if stage.vectors]


def _delayed(vector: Vector) -> Iterator[Vector]:
    """List what a vector reads of an earlier time step: what the states that it reads become.

    A loop has made that a round ago. Outside of one, all time steps are computed at once::

        y = norm(x)     for all slots; it is where h is a time step later
        out = y + h     then for all slots: a group that made both, number by number, would read ahead
    """
    return (source.following.vector for source in vector.sources() if source.following)


def _grouped(stage: Stage) -> list[Group]:
    """Put operations in an order in which many elementwise ones are neighbours."""
    waiting, done, groups = list(stage.vectors), set[Vector](), list[Group]()
    inside = set(stage.vectors)

    def first(vector: Vector) -> set[Vector]:
        """Give what has to be made before a vector."""
        return inside & {*vector.sources(), *(() if stage.loop else _delayed(vector))}

    while waiting:
        ready = [each for each in waiting if first(each) <= done]
        last = groups[-1] if groups else None
        joining = [each for each in ready if last is not None and _joins(each, last, stage.loop)]
        alone = [each for each in ready if not is_elementwise(each)]
        vector = (joining or alone or ready)[0]
        if joining and last is not None:
            last.vectors.append(vector)
        else:
            groups.append(Group([vector], is_elementwise(vector) and on_integers(vector)))
        waiting.remove(vector)
        done.add(vector)
    return groups


def _joins(vector: Vector, group: Group, loop: bool) -> bool:
    """Whether a vector can be made in a group's loop: of its size, number by number from its vectors."""
    if not is_elementwise(vector) or not group.elementwise:
        return False
    if not loop and any(source in group.vectors for source in _delayed(vector)):
        return False
    if vector.size != group.size or on_integers(vector) != group.scalar:
        return False
    if vector.places != group.places:
        return False
    return all(view.complete for view in vector.operation.views() if view.vector in group.vectors)


def _fused(groups: list[Group], uses: Uses) -> list[Group]:
    """Let elementwise operations take in the products that nobody else reads."""
    for group in [group for group in groups if group.elementwise and not group.scalar]:
        if group.places and group.size == 1:
            continue  # the numbers of all places stand side by side
        found = [
            gates(other.vectors[0], [user for user, _ in uses[other.vectors[0]]], group.vectors)
            for other in groups
            if other.places == group.places
        ]
        room = VECTORS
        for known in filter(None, found):
            if known.count <= room:
                room -= known.count
                group.products.append(known)
    inside = {known.vector for group in groups for known in group.products}
    return [group for group in groups if group.vectors[0] not in inside]
