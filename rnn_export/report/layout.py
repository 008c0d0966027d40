"""Where the boxes of a graph go: in layers, every edge downwards, with few crossings and straight lines.

The classical way of Sugiyama, Tagawa and Toda (1981): a layer for each node, its longest way from the top;
bends where an edge passes a layer; an order within each layer by the median of the neighbours; and positions
as near to the neighbours as the order allows. The same graph gives the same picture.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

GAP_X, GAP_Y = 16.0, 22.0  # between boxes of a layer, between layers
SWEEPS = 12
WEIGHTS = (1.0, 3.0, 40.0)  # of a piece with no bend at its ends, one, and two: long edges are straight

Point = tuple[float, float]
Bend = tuple[int, int]  # an edge's number, and the layer it passes
Key = str | Bend


@dataclass(frozen=True)
class Edge:
    """From the bottom of one box to the top of another; the ends are offsets from their left edges."""

    source: str
    target: str
    leaves: float
    arrives: float


@dataclass(frozen=True)
class Layout:
    """The upper left corners of the boxes, the points that each edge passes, and the size of it all."""

    corners: dict[str, Point]
    routes: list[list[Point]]
    width: float
    height: float


@dataclass(frozen=True)
class _Link:
    """A piece of an edge, from a layer to the next."""

    upper: Key
    lower: Key
    leaves: float
    arrives: float
    weight: float


def arrange(
    sizes: Mapping[str, tuple[float, float]], edges: Sequence[Edge], *, last: Sequence[str] = ()
) -> Layout:
    """Place boxes of given width and height; those of ``last`` stand in the lowest layer."""
    ranks = _ranks(sizes, edges, last)
    links, bends = _links(edges, ranks)
    layers: list[list[Key]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for node in sizes:
        layers[ranks[node]].append(node)
    widths: dict[Key, float] = {node: width for node, (width, _) in sizes.items()}
    for bend in (bend for passed in bends.values() for bend in passed):
        layers[bend[1]].append(bend)
        widths[bend] = 0.0
    layers = _ordered(layers, links, widths)
    left = _positions(layers, links, widths)
    return _placed(sizes, edges, layers, bends, left)


def _ranks(sizes: Mapping[str, object], edges: Sequence[Edge], last: Sequence[str]) -> dict[str, int]:
    """Give each node its longest way from the top."""
    graph = nx.DiGraph()
    graph.add_nodes_from(sizes)
    graph.add_edges_from((edge.source, edge.target) for edge in edges)
    ranks = {node: rank for rank, nodes in enumerate(nx.topological_generations(graph)) for node in nodes}
    bottom = max(ranks.values(), default=0)
    return ranks | dict.fromkeys(last, bottom)


def _links(edges: Sequence[Edge], ranks: Mapping[str, int]) -> tuple[list[_Link], dict[int, list[Bend]]]:
    """Cut each edge where it passes a layer; give the pieces, and the bends by the edge's number."""
    links, bends = [], {}
    for number, edge in enumerate(edges):
        passed = [(number, rank) for rank in range(ranks[edge.source] + 1, ranks[edge.target])]
        bends[number] = passed
        stops: list[Key] = [edge.source, *passed, edge.target]
        for upper, lower in pairwise(stops):
            leaves = edge.leaves if upper == edge.source else 0.0
            arrives = edge.arrives if lower == edge.target else 0.0
            turns = sum(stop in passed for stop in (upper, lower))
            links.append(_Link(upper, lower, leaves, arrives, WEIGHTS[turns]))
    return links, bends


def _ordered(layers: list[list[Key]], links: Sequence[_Link], widths: Mapping[Key, float]) -> list[list[Key]]:
    """Order each layer by where its neighbours stand, downwards and upwards; keep the best order seen."""
    best, fewest = layers, _crossings(layers, links, widths)
    current = layers
    for sweep in range(SWEEPS):
        current = _swept(current, links, widths, down=sweep % 2 == 0)
        crossings = _crossings(current, links, widths)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _swept(
    layers: list[list[Key]], links: Sequence[_Link], widths: Mapping[Key, float], *, down: bool
) -> list[list[Key]]:
    result = list(layers)
    order = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
    for number in order:
        place = _places(result[number - 1 if down else number + 1], widths)
        wanted: dict[Key, list[float]] = defaultdict(list)
        for link in links:
            near, own = (link.upper, link.lower) if down else (link.lower, link.upper)
            if near in place:
                wanted[own].append(place[near] + (link.leaves if down else link.arrives))
        now = _places(result[number], widths)
        centres = {
            node: sum(wanted[node]) / len(wanted[node]) if wanted[node] else now[node]
            for node in result[number]
        }
        result[number] = sorted(result[number], key=centres.__getitem__)
    return result


def _places(layer: Sequence[Key], widths: Mapping[Key, float]) -> dict[Key, float]:
    """Give the left edges of boxes that stand side by side about the middle."""
    at = -(sum(widths[node] for node in layer) + GAP_X * (len(layer) - 1)) / 2
    places = {}
    for node in layer:
        places[node] = at
        at += widths[node] + GAP_X
    return places


def _crossings(layers: list[list[Key]], links: Sequence[_Link], widths: Mapping[Key, float]) -> int:
    """Count the pairs of edges that cross between two layers."""
    place = {node: at for layer in layers for node, at in _places(layer, widths).items()}
    rank = {node: number for number, layer in enumerate(layers) for node in layer}
    between: dict[int, list[Point]] = defaultdict(list)
    for link in links:
        ends = (place[link.upper] + link.leaves, place[link.lower] + link.arrives)
        between[rank[link.upper]].append(ends)
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for ends in between.values()
        for number, one in enumerate(ends)
        for other in ends[:number]
    )


def _positions(
    layers: list[list[Key]], links: Sequence[_Link], widths: Mapping[Key, float]
) -> dict[Key, float]:
    """Give the left edges: each box as near below and above its neighbours as the order allows."""
    left = {node: at for layer in layers for node, at in _places(layer, widths).items()}
    for sweep in range(4 * SWEEPS):
        down, both = sweep % 2 == 0, sweep >= SWEEPS
        for layer in layers if down else reversed(layers):
            members = set(layer)
            wanted: dict[Key, list[Point]] = defaultdict(list)
            for link in links:
                aligned = left[link.upper] + link.leaves - link.arrives
                if (down or both) and link.lower in members:
                    wanted[link.lower].append((aligned, link.weight))
                aligned = left[link.lower] + link.arrives - link.leaves
                if (both or not down) and link.upper in members:
                    wanted[link.upper].append((aligned, link.weight))
            left |= _nearest(layer, wanted, left, widths)
    return left


def _nearest(
    layer: Sequence[Key],
    wanted: Mapping[Key, Sequence[Point]],
    left: Mapping[Key, float],
    widths: Mapping[Key, float],
) -> dict[Key, float]:
    """Move boxes to where they are wanted, in their order and apart: least squares, pooled where they meet.

    This is isotonic regression, by pooling adjacent violators.
    """
    offset, pools = 0.0, list[tuple[float, float, list[tuple[Key, float]]]]()
    for node in layer:
        aims = wanted.get(node) or [(left[node], 0.01)]
        weight = sum(weight for _, weight in aims)
        aim = sum(aim * weight for aim, weight in aims) / weight - offset
        pool = (aim, weight, [(node, offset)])
        while pools and pools[-1][0] >= pool[0]:
            before = pools.pop()
            total = before[1] + pool[1]
            mean = (before[0] * before[1] + pool[0] * pool[1]) / total
            pool = (mean, total, [*before[2], *pool[2]])
        pools.append(pool)
        offset += widths[node] + GAP_X
    return {node: at + moved for at, _, nodes in pools for node, moved in nodes}


def _placed(
    sizes: Mapping[str, tuple[float, float]],
    edges: Sequence[Edge],
    layers: list[list[Key]],
    bends: Mapping[int, Sequence[Bend]],
    left: Mapping[Key, float],
) -> Layout:
    """Stack the layers, and draw the edges through their bends."""
    heights = [max(sizes[node][1] for node in layer if isinstance(node, str)) for layer in layers]
    tops, at = [], 0.0
    for height in heights:
        tops.append(at)
        at += height + GAP_Y
    origin = min(left.values(), default=0.0)
    rank = {node: number for number, layer in enumerate(layers) for node in layer}
    corners = {
        node: (left[node] - origin, tops[rank[node]] + (heights[rank[node]] - height) / 2)
        for node, (_, height) in sizes.items()
    }
    routes = []
    for number, edge in enumerate(edges):
        (x, y), (to_x, to_y) = corners[edge.source], corners[edge.target]
        x, to_x = x + edge.leaves, to_x + edge.arrives
        from_rank, to_rank = rank[edge.source], rank[edge.target]
        route = [(x, y + sizes[edge.source][1]), (x, tops[from_rank] + heights[from_rank])]
        for bend in bends[number]:
            middle = left[bend] - origin
            route += [(middle, tops[bend[1]]), (middle, tops[bend[1]] + heights[bend[1]])]
        routes.append([*route, (to_x, tops[to_rank]), (to_x, to_y)])
    width = max((corners[node][0] + size[0] for node, size in sizes.items()), default=0.0)
    width = max([width, *(x for route in routes for x, _ in route)])
    return Layout(corners, routes, width, max(0.0, at - GAP_Y))
