"""Names of constants that are computed: after the weights that they are computed from.

::

    t = Transpose (weight)                        weight^T
    a = Exp (A_log)  b = Neg (a)                  from(A_log)
    c = Add (bias_ih, bias_hh)                    from(bias_ih, bias_hh)

Of several constants of one name the others have a number behind it, ``from(weight)_2``.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain, count

import onnx_ir as ir

TURNED = "^T"
COMPUTED = re.compile(r"from\((?P<sources>[^()]*)\)(?P<rest>.*)")


def sources(name: str) -> list[str]:
    """Give the names of the weights that a constant is computed from; its own, if it is one of them.

    >>> sources("from(cell.a, cell.b)_2"), sources("weight^T"), sources("bias")
    (['cell.a', 'cell.b'], ['weight'], ['bias'])
    """
    found = COMPUTED.fullmatch(name)
    return found["sources"].split(", ") if found else [name.removesuffix(TURNED)]


def with_sources(name: str, called: Callable[[str], str]) -> str:
    """Call the weights that a constant is computed from in another way.

    >>> with_sources("from(cell.a, cell.b)^T", lambda name: name.removeprefix("cell."))
    'from(a, b)^T'
    """
    found = COMPUTED.fullmatch(name)
    return f"from({', '.join(map(called, sources(name)))}){found['rest']}" if found else called(name)


def name_computed(model: ir.Model) -> None:
    """Name what is computed of constants alone, weights among them, and read by what is not."""
    known = {value: name for name, value in model.graph.initializers.items() if _is_weight(value)}
    constant, computed = {*model.graph.initializers.values()}, dict[ir.Node, None]()
    for graph in model.graphs():
        for node in graph:
            inputs = [value for value in node.inputs if value is not None]
            if (inputs or node.op_type == "Constant") and constant.issuperset(inputs):
                constant |= {*node.outputs}
                computed[node] = None
                names = [known[value] for value in inputs if value in known]
                known |= dict.fromkeys(node.outputs, _called(node.op_type, names)) if names else {}
    taken = {value.name for value in _values(model)}
    for node in computed:
        for output in node.outputs:
            read = not output.is_graph_output() and not computed.keys() >= {*output.consumers()}
            if output in known and read:
                output.name = _free(known[output], taken)
                taken.add(output.name)


def _is_weight(value: ir.Value) -> bool:
    floats = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
    tensor = value.const_value
    return tensor is not None and tensor.dtype in floats and len(tensor.shape) > 0


def _called(op_type: str, names: list[str]) -> str:
    if op_type == "Transpose" and not names[0].endswith(TURNED):
        return f"{names[0]}{TURNED}"
    return f"from({', '.join(dict.fromkeys(source for name in names for source in sources(name)))})"


def _values(model: ir.Model) -> Iterator[ir.Value]:
    yield from model.graph.initializers.values()
    for graph in model.graphs():
        yield from graph.inputs
        for node in graph:
            yield from node.outputs


def _free(name: str, taken: set[str | None]) -> str:
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)
