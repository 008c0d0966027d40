"""What the user's source calls a value: the variable that a statement assigns it to.

A node that torch traced carries the lines that it comes from, from the outermost call to the innermost. Of
the nodes of a line ``Z = torch.sigmoid(X @ W + b)`` the last one makes ``Z``.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx_ir as ir
import torch

TRACE = "pkg.torch.onnx.stack_trace"
TORCH = f"{Path(torch.__file__).parent}{os.sep}"
FRAME = re.compile(r'^  File "(?P<file>.*)", line \d+, in .*\n    (?P<text>.*)$', re.MULTILINE)
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(: [^=]*)? = (?![^#]* = )")


def source_names(nodes: Iterable[ir.Node]) -> dict[ir.Value, str]:
    """Give the names of the values that statements assign, where the nodes say where they come from.

    A statement runs again where nodes of other statements stand between its own, as in a loop over layers:
    each time it makes another value. What the same statement reads on is not yet what it assigns.
    """
    made: dict[ir.Node, str] = {}
    running: dict[str, tuple[ir.Node, str]] = {}  # by the lines that lead to a statement
    for node in nodes:
        trace = str(node.metadata_props.get(TRACE, ""))
        if not trace:
            continue  # made by a pass
        statements = dict(_statements(trace))
        for lines in [lines for lines in reversed(running) if lines not in statements]:
            last, name = running.pop(lines)
            readers = [str(user.metadata_props.get(TRACE, "")) for user in last.outputs[0].consumers()]
            if not any(reader.startswith(lines) for reader in readers):
                made.setdefault(last, name)  # the innermost of several statements comes first
        running |= {lines: (node, name) for lines, name in statements.items()}
    for last, name in reversed(running.values()):
        made.setdefault(last, name)
    return {node.outputs[0]: name for node, name in made.items() if len(node.outputs) == 1}


def _statements(trace: str) -> Iterator[tuple[str, str]]:
    """List the assignments that a node is part of, and their variables; those of torch are nobody's names.

    All the lines that lead to a statement tell it from others: a function may be called twice.
    """
    for frame in FRAME.finditer(trace):
        assigned = ASSIGNMENT.match(frame["text"])
        if assigned and not frame["file"].startswith((TORCH, "<")):  # in brackets it is in no file
            yield trace[: frame.end()], assigned[1]
