"""Nested values: tuples and lists of tensors, and the names of their leaves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# How the module wraps its state: a leaf's name, or {"tuple": [...]}, or {"list": [...]}, nested at will.
Tree = str | dict[str, list["Tree"]]


def tree_leaves(value: Any) -> list[Any]:
    """List the leaves of nested tuples and lists, from left to right.

    >>> tree_leaves(("H1", ["H2", ("C2",)]))
    ['H1', 'H2', 'C2']
    """
    if isinstance(value, tuple | list):
        return [leaf for child in value for leaf in tree_leaves(child)]
    return [value]


def tree_of(value: Any, names: Sequence[str]) -> Tree:
    """Describe how ``value`` nests its leaves, calling them by ``names`` from left to right.

    >>> tree_of(("H1", ["H2", ("C2",)]), ["a", "b", "c"])
    {'tuple': ['a', {'list': ['b', {'tuple': ['c']}]}]}
    """
    remaining = iter(names)

    def describe(node: Any) -> Tree:
        if isinstance(node, tuple | list):
            return {"tuple" if isinstance(node, tuple) else "list": [describe(child) for child in node]}
        return next(remaining)

    return describe(value)


def tree_build(tree: Tree, leaf: Callable[[str], Any]) -> Any:
    """Build a value that is nested as ``tree`` says, from the leaf of each name.

    >>> tree_build({'tuple': ['a', {'list': ['b']}]}, str.upper)
    ('A', ['B'])
    """
    if isinstance(tree, str):
        return leaf(tree)
    [(kind, children)] = tree.items()
    return {"tuple": tuple, "list": list}[kind](tree_build(child, leaf) for child in children)


def enumerate_names(leaves: Sequence[Any]) -> list[tuple[str, Any]]:
    """Name the leaves of a state: all with as many digits, so that sorting by name keeps their order.

    >>> enumerate_names(["H", "C"])
    [('state_0', 'H'), ('state_1', 'C')]
    >>> enumerate_names(range(11))[-2:]
    [('state_09', 9), ('state_10', 10)]
    """
    digits = len(str(len(leaves) - 1))
    return [(f"state_{number:0{digits}}", leaf) for number, leaf in enumerate(leaves)]


def names_of(value: Any) -> list[str]:
    """Give the names of the leaves of a state."""
    return [name for name, _ in enumerate_names(tree_leaves(value))]


def wrap(tree: Tree, named: Mapping[str, Any]) -> Any:
    """Wrap named leaves as the tree says."""
    return tree_build(tree, named.__getitem__)


def tree_pairs(tree: Tree, value: Any) -> list[tuple[str, Any]]:
    """Pair the names of a tree with the leaves of a value that is wrapped like it.

    >>> tree_pairs({'tuple': ['outputs', {'list': ['H']}]}, (1, [2]))
    [('outputs', 1), ('H', 2)]
    """
    if isinstance(tree, str):
        return [(tree, value)]
    [children] = tree.values()
    return [pair for child, part in zip(children, value, strict=True) for pair in tree_pairs(child, part)]


def map_leaves(state: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf of nested tuples and lists."""
    if isinstance(state, tuple | list):
        return type(state)(map_leaves(child, function) for child in state)
    return function(state)
