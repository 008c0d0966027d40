"""One loop in a trace: what each of its nodes reads, and so one time step of it as a graph of its own.

::

    a = select(x, 1, 3)     b = gru_cell(a, h, W)       iteration 3
    c = select(x, 1, 4)     d = gru_cell(c, b, W)       iteration 4: x is read along axis 1, b is the state
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from rnn_export.capture.inline.entries import Along
from rnn_export.capture.inline.repeats import NUMBERS, Repeat
from rnn_export.capture.roll.windows import NotRolledError, argument

aten = torch.ops.aten


@dataclass(frozen=True)
class Given:
    """Something that a node is given which is no number: the ``number``-th of its kind."""

    kind: str
    number: int


OWN, SEQUENCE, CONTEXT, STATE, WEIGHT, SIZE = "own", "sequence", "context", "state", "weight", "size"


@dataclass
class Loop:
    """A loop: its nodes by iterations, and what they are given.

    Attributes:
        rows: the nodes of each iteration.
        reads: the tensors that it goes along.
        contexts: those that are the same in each iteration.
        states: what each state begins with, and the place of the node that gives its new value.
        args: what each node of an iteration is given: leaves of its arguments, and how they are nested; None
            of one that reads a sequence.
    """

    rows: list[list[Node]]
    reads: list[Along] = field(default_factory=list)
    contexts: list[Node] = field(default_factory=list)
    states: list[tuple[Node, int]] = field(default_factory=list)
    sizes: list[Node] = field(default_factory=list)
    weights: list[Node] = field(default_factory=list)
    args: list[tuple[list[Any], Any] | Given] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of iterations."""
        return len(self.rows)

    @property
    def begins(self) -> list[Node]:
        """What each state begins with."""
        return [begins for begins, _ in self.states]

    @property
    def carried(self) -> list[int]:
        """The places of the nodes that give the new states."""
        return [place for _, place in self.states]

    @property
    def is_of_tensors(self) -> bool:
        """Whether all that it takes and gives are tensors, not several in one."""
        given = [self.rows[0][place] for place in (*self.outside, *self.carried)]
        nodes = (*self.contexts, *self.begins, *given)
        return all(isinstance(node.meta.get("val"), torch.Tensor) for node in nodes)

    @property
    def is_steady(self) -> bool:
        """Whether each state has one shape and dtype: it may not begin with a number for all units."""
        return all(is_like(begins, self.rows[0][place]) for begins, place in self.states)

    @property
    def outside(self) -> dict[int, set[int]]:
        """Give the places of the nodes that are read from outside of the loop, and in which iterations."""
        inside = {node for row in self.rows for node in row}
        found = dict[int, set[int]]()
        for number, row in enumerate(self.rows):
            for place, node in enumerate(row):
                if any(user not in inside for user in node.users):
                    found.setdefault(place, set()).add(number)
        return found

    def given(self, leaf: Any, row: Sequence[Node]) -> Any:
        """Give an argument in the iteration behind the last one, of which ``row`` is there so far."""
        if not isinstance(leaf, Given):
            return leaf
        if leaf.kind == STATE:
            return self.rows[-1][self.carried[leaf.number]]
        nodes = {OWN: row, CONTEXT: self.contexts, WEIGHT: self.weights, SIZE: self.sizes}
        return nodes[leaf.kind][leaf.number]

    def is_like(self, other: "Loop") -> bool:
        """Whether it is the same loop, in a trace of another number of time steps."""
        ways = [[(read.axis, read.by) for read in loop.reads] for loop in (self, other)]
        names = [[node.target for node in loop.weights] for loop in (self, other)]
        targets = [[node.target for node in loop.rows[0]] for loop in (self, other)]
        return (
            (self.args, self.carried) == (other.args, other.carried)
            and ways[0] == ways[1]
            and names[0] == names[1]
            and targets[0] == targets[1]
        )


def is_like(one: Node, other: Node) -> bool:
    """Whether two nodes give tensors of the same shape and dtype."""
    a, b = one.meta.get("val"), other.meta.get("val")
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return False
    return a.dtype == b.dtype and [*map(str, a.shape)] == [*map(str, b.shape)]


def loop_at(nodes: Sequence[Node], repeat: Repeat, phase: int) -> Loop:
    """Take what repeats, from its ``phase``-th node on, for a loop.

    Raises:
        NotRolledError: it is none.
    """
    start = repeat.start + phase
    rows = [
        list(nodes[start + number * repeat.size :][: repeat.size])
        for number in range(repeat.count - (phase > repeat.more))
    ]
    loop = Loop(rows)
    where = {node: (number, place) for number, row in enumerate(rows) for place, node in enumerate(row)}
    for place in range(repeat.size):
        column = [row[place] for row in rows]
        read = _read(column, where)
        if read is not None:
            loop.args.append(Given(SEQUENCE, _numbered(loop.reads, read)))
            continue
        flat = [pytree.tree_flatten((node.args, node.kwargs)) for node in column]
        if any(spec != flat[0][1] for _, spec in flat):
            raise NotRolledError(f"{column[0].name} is given something else in each iteration")
        leaves = [_leaf(loop, each, where) for each in zip(*(leaves for leaves, _ in flat), strict=True)]
        loop.args.append((leaves, flat[0][1]))
    if all(isinstance(each, Given) for each in loop.args):
        raise NotRolledError("nothing is computed in it")
    return loop


def _numbered(known: list[Any], value: Any) -> int:
    """Give the number of a value in a list, to which it is added if it is new."""
    if value not in known:
        known.append(value)
    return known.index(value)


def _read(column: Sequence[Node], where: dict[Node, tuple[int, int]]) -> Along | None:
    """Say which tensor some nodes go along, if they do."""
    first = column[0]
    source = first.args[0] if first.target is aten.select.int else None
    if not isinstance(source, Node) or source in where:
        return None
    if any(node.args[:2] != first.args[:2] for node in column):
        return None
    entries = [int(argument(node, 2, 0)) for node in column]
    by = entries[1] - entries[0]
    if by == 0 or entries != list(range(entries[0], entries[0] + by * len(entries), by)):
        return None
    return Along(source, int(argument(first, 1, 0)), entries[0], by, len(column))


def _leaf(loop: Loop, values: Sequence[Any], where: dict[Node, tuple[int, int]]) -> Any:
    """Say what one argument is in all iterations.

    Raises:
        NotRolledError: they have nothing in common.
    """
    first = values[0]
    if not isinstance(first, Node):
        if any(type(value) is not type(first) or value != first for value in values):
            raise NotRolledError(f"a number changes from {first} to {values[1]} in a loop")
        return first
    if not all(isinstance(value, Node) for value in values):
        raise NotRolledError(f"{first.name} is a number in another iteration")
    if first not in where and all(value is first for value in values):
        return _outside(loop, first)
    places = [where.get(value) for value in values]
    later = places[1]
    if later is not None and places == [(number, later[1]) for number in range(len(values))]:
        return Given(OWN, later[1])
    before = later and [(row, later[1]) for row in range(len(values) - 1)]
    if later is not None and first not in where and places[1:] == before:
        return Given(STATE, _numbered(loop.states, (first, later[1])))
    raise NotRolledError(f"{first.name} and {values[1].name} do not stand in the same place of a loop")


def _outside(loop: Loop, node: Node) -> Given:
    """Say what a node is that each iteration reads."""
    if node.op == "get_attr":
        return Given(WEIGHT, _numbered(loop.weights, node))
    if isinstance(node.meta.get("val"), NUMBERS):
        return Given(SIZE, _numbered(loop.sizes, node))
    return Given(CONTEXT, _numbered(loop.contexts, node))
