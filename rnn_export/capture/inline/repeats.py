"""What repeats in traces of several numbers of time steps: a loop's operators, as often as it was run.

::

    7 time steps:   linear | 7 times select, gru_cell | stack
    9 time steps:   linear | 9 times select, gru_cell | stack       =>      a loop over select, gru_cell
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.fx import Graph, Node

FEWEST = 4  # times that something stands there
NUMBERS = torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool


@dataclass(frozen=True)
class Repeat:
    """``count`` times ``size`` nodes, from ``start`` on, and ``more`` behind them that go on alike."""

    start: int
    size: int
    count: int
    more: int


def operators(graph: Graph) -> list[Node]:
    """List the nodes of a trace that give tensors, in their order."""
    return [
        node
        for node in graph.nodes
        if node.op == "call_function" and not isinstance(node.meta.get("val"), NUMBERS)
    ]


def repeats(traces: Sequence[Sequence[Node]]) -> Iterator[tuple[Repeat, ...]]:
    """Give what repeats more often in a trace of more time steps, in each of the traces.

    Short ones come first, and of those the first: a loop may stand there as one of twice as many nodes, too.
    """
    numbers = dict[object, int]()
    found = list[dict[tuple[int, ...], list[Repeat]]]()
    for nodes in traces:
        keys = np.array([numbers.setdefault(_key(node), len(numbers)) for node in nodes])
        found.append(_by_body(keys))
    first, *others = found
    each = [
        [*zip(each, *(other[body] for other in others), strict=True)]
        for body, each in first.items()
        if all(len(other.get(body, ())) == len(each) for other in others)
    ]
    grown = [places for body in each for places in body if _grows([place.count for place in places])]
    yield from sorted(grown, key=lambda places: (places[0].size, places[0].start))


def _grows(counts: Sequence[int]) -> bool:
    """Whether there are more for more time steps, from one trace to the next or over several."""
    return counts[-1] > counts[0] and all(one <= other for one, other in pairwise(counts))


def _key(node: Node) -> object:
    """Say what two nodes have in common that stand in the same place of a loop."""
    weights = tuple(str(given.target) for given in node.all_input_nodes if given.op == "get_attr")
    value = node.meta.get("val")
    return (node.target, weights, value.dim() if isinstance(value, torch.Tensor) else None)


def _by_body(keys: np.ndarray) -> dict[tuple[int, ...], list[Repeat]]:
    """Find what repeats in a trace, by the body that does, wherever in it that begins."""
    found = dict[tuple[int, ...], list[Repeat]]()
    for size in range(1, len(keys) // FEWEST + 1):
        alike = np.concatenate([[False], keys[:-size] == keys[size:], [False]])
        edges = np.flatnonzero(alike[1:] != alike[:-1])
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            whole = end - start + size
            if whole >= FEWEST * size:
                body = keys[start : start + size].tolist()
                turned = min(tuple(body[place:] + body[:place]) for place in range(size))
                found.setdefault(turned, []).append(Repeat(start, size, whole // size, whole % size))
    return found
