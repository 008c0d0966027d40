"""Nested values: tensors in tuples, lists, dicts, named tuples and dataclasses, and the names of leaves.

A :data:`Tree` says how a bundle's call nests tensors, in tuples and lists alone; what a module takes and
gives may be nested in any of these ways.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

Path = tuple[str | int, ...]  # from the outside inwards: keys, names of fields, and positions

# How the module wraps its state: a leaf's name, or {"tuple": [...]}, or {"list": [...]}, nested at will.
Tree = str | dict[str, list["Tree"]]


def parts_of(value: Any) -> list[tuple[str | int, Any]] | None:
    """List what a container holds, each part with its key, field or position; ``None`` for a leaf.

    >>> parts_of({"h": 1, "c": 2}), parts_of([3]), parts_of(4)
    ([('h', 1), ('c', 2)], [(0, 3)], None)
    """
    if isinstance(value, dict):
        return [*value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [*zip(value._fields, value, strict=True)]
    if isinstance(value, tuple | list):
        return [*enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value) if field.init]
    return None


def with_parts(value: Any, parts: Sequence[Any]) -> Any:
    """Make a container like another one, of other parts.

    >>> with_parts({"h": 1, "c": 2}, "ab"), with_parts((1, 2), "ab")
    ({'h': 'a', 'c': 'b'}, ('a', 'b'))
    """
    kind: Any = type(value)
    if isinstance(value, dict):
        return kind(zip(value, parts, strict=True))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*parts)
    if isinstance(value, tuple | list):
        return kind(parts)
    return kind(**dict(zip([str(name) for name, _ in parts_of(value) or []], parts, strict=True)))


def tree_paths(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give the leaves of a nested value from left to right, each with its path.

    >>> [*tree_paths(({"h": 1}, [2]))]
    [((0, 'h'), 1), ((1, 0), 2)]
    """
    parts = parts_of(value)
    if parts is None:
        yield path, value
    for name, part in parts or []:
        yield from tree_paths(part, (*path, name))


def tree_leaves(value: Any) -> list[Any]:
    """List the leaves of a nested value, from left to right.

    >>> tree_leaves(("H1", ["H2", ("C2",)]))
    ['H1', 'H2', 'C2']
    """
    return [leaf for _, leaf in tree_paths(value)]


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


def enumerate_names(leaves: Sequence[Any], stem: str = "state_") -> list[tuple[str, Any]]:
    """Name the leaves of a state: all with as many digits, so that sorting by name keeps their order.

    >>> enumerate_names(["H", "C"])
    [('state_0', 'H'), ('state_1', 'C')]
    >>> enumerate_names(range(11))[-2:]
    [('state_09', 9), ('state_10', 10)]
    """
    digits = len(str(len(leaves) - 1))
    return [(f"{stem}{number:0{digits}}", leaf) for number, leaf in enumerate(leaves)]


def names_of(value: Any) -> list[str]:
    """Give the names of the leaves of a state."""
    return [name for name, _ in enumerate_names(tree_leaves(value))]


def wrap(tree: Tree, named: Mapping[str, Any]) -> Any:
    """Wrap named leaves as the tree says."""
    return tree_build(tree, named.__getitem__)


def renamed_tree(tree: Tree, names: Mapping[str, str]) -> Tree:
    """Call the leaves of a tree by other names.

    >>> renamed_tree({'tuple': ['a', {'list': ['b']}]}, {"a": "h", "b": "c"})
    {'tuple': ['h', {'list': ['c']}]}
    """
    if isinstance(tree, str):
        return names[tree]
    [(kind, children)] = tree.items()
    return {kind: [renamed_tree(child, names) for child in children]}


def tree_pairs(tree: Tree, value: Any) -> list[tuple[str, Any]]:
    """Pair the names of a tree with the leaves of a value that is wrapped like it.

    >>> tree_pairs({'tuple': ['outputs', {'list': ['H']}]}, (1, [2]))
    [('outputs', 1), ('H', 2)]
    """
    if isinstance(tree, str):
        return [(tree, value)]
    [children] = tree.values()
    return [pair for child, part in zip(children, value, strict=True) for pair in tree_pairs(child, part)]


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf of a nested value, from left to right."""
    parts = parts_of(value)
    if parts is None:
        return function(value)
    return with_parts(value, [map_leaves(part, function) for _, part in parts])
