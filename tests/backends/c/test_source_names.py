"""What the lines of the user's source that a node comes from say its value is called."""

from collections.abc import Sequence

import onnx_ir as ir
import torch

from rnn_export.backends.c.trace.nodes import where
from rnn_export.backends.c.trace.source_names import TRACE, source_names

FRAME = '  File "{}", line {}, in forward\n    {}'
Line = tuple[int, str]


def named(*traces: Sequence[Line], file: str = "/home/me/net.py") -> list[str]:
    """Give the names of the values of a chain of nodes, each with the lines that lead to it."""
    value = ir.Value(name="x")
    nodes = []
    for trace in traces:
        node = ir.node("Tanh", [value])
        frames = [FRAME.format(file, number, text) for number, text in trace]
        node.metadata_props[TRACE] = "\n".join(["Traceback", *frames]) if frames else ""
        nodes.append(node)
        value = node.outputs[0]
    names = source_names(nodes)
    return [names.get(node.outputs[0], "") for node in nodes]


def test_the_last_node_of_a_line_makes_its_variable() -> None:
    gate, state = [(4, "Z = torch.sigmoid(X @ W + b)")], [(5, "H = Z * H")]
    assert named(gate, gate, state) == ["", "Z", "H"]


def test_a_line_that_assigns_nothing_names_nothing() -> None:
    lines = ["outputs.append(H @ W)", "H, C = cell(X)", "x += 1", "self.x = y", "a == b", "a = b = c"]
    assert named(*([(1, line)] for line in lines)) == [""] * len(lines)


def test_a_function_that_is_called_twice_makes_two_values() -> None:
    inside = (9, "y = x * x")
    first, second = [(1, "a = square(x)"), inside], [(2, "b = square(a)"), inside]
    assert named(first, second) == ["y", "y"]
    assert named([(1, "a = square(x)"), (9, "return x * x")]) == ["a"]


def test_a_line_in_a_loop_makes_a_value_each_time() -> None:
    one, other = [(1, "H = torch.tanh(X)")], [(2, "X = H * 2")]
    assert named(one, other, one, other) == ["H", "X", "H", "X"]


def test_what_the_same_line_goes_on_with_is_not_its_variable_yet() -> None:
    line = [(1, "H = torch.tanh(X) * f(X)")]
    assert named(line, [(1, "H = torch.tanh(X) * f(X)"), (7, "inner = X + 1")], line) == ["", "inner", "H"]
    assert named(line, [(2, "y = z")], line) == ["H", "y", "H"]


def test_a_node_that_a_pass_made_changes_nothing() -> None:
    line = [(1, "H = torch.tanh(X)")]
    assert named(line, [], line) == ["", "", "H"]


def test_the_variables_of_torch_are_not_the_users() -> None:
    assert named([(1, "ret = _VF.gru(")], file=torch.nn.modules.rnn.__file__) == [""]


def test_code_that_is_in_no_file_names_nothing() -> None:
    """Such as what runs a graph: its variables are numbers."""
    line = [(4, "cat_default_2 = torch.cat([x, y])")]
    assert named(line, line, file="<eval_with_key>.3") == ["", ""]
    node = ir.node("Tanh", [ir.Value(name="x")], name="Tanh_1")
    node.metadata_props[TRACE] = "\n".join(["Traceback", FRAME.format("<eval_with_key>.3", *line[0])])
    assert where(node) == "node 'Tanh_1' (Tanh)"
