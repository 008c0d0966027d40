"""TorchScript's source text of the functions that stand around a module: what :mod:`.script` compiles.

``model.pt`` is called ``(*inputs, state) -> (*outputs, state)``, with the state wrapped as the signature's
tree says; without ``state`` where the module takes none, and with the outputs alone where it returns none.
With lengths it is ``(*inputs, state, lengths) -> (*outputs, state)``.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from rnn_export.errors import ScriptError
from rnn_export.module.arranged import Arranged
from rnn_export.module.calling import Calling
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, OutputSpec, TensorSpec
from rnn_export.signature.tree import Path, Tree, parts_of


def adapted(signature: Signature, calling: Calling, inner: str) -> str:
    """Call the module its own way, and return ``(*outputs, state)``."""
    gives = dict(zip(_names(calling.gives), _paths(calling.gives, "_result"), strict=True))
    outputs = [gives[name] for name in calling.outputs if name in gives] or [next(iter(gives.values()))]
    arguments = [*_inputs(signature), *([] if calling.takes is None else ["state"])]
    named: list[str] = []
    if calling.in_place:
        named = _unwrapped(signature)
        copies = {leaf.name: f"{leaf.name}.clone()" for leaf in signature.state}
        arguments = [f"{name}.clone()" for name in _inputs(signature)]
        arguments += [_expression(signature.tree, copies)] if signature.state else []
    stacked = [f"torch.stack({each})" if calling.listed else each for each in outputs]
    return _lines(
        _header(signature),
        *named,
        f"    _result = self.{inner}({', '.join(arguments)})",
        f"    return {_result(signature, stacked, gives)}",
    )


def traced(signature: Signature, inner: str) -> str:
    """Call a flat module, and wrap its state."""
    names = [leaf.name for leaf in signature.state]
    outputs = [f"_result[{number}]" for number in range(len(signature.outputs))]
    new = [f"_result[{len(outputs) + number}]" for number in range(len(signature.returned_state))]
    leaves = dict(zip([leaf.name for leaf in signature.returned_state], new, strict=True))
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        f"    _result = self.{inner}({', '.join([*_inputs(signature), *names])})",
        f"    return {_result(signature, outputs, leaves)}",
    )


def arranged(signature: Signature, model: Arranged, in_place: bool, inner: str) -> str:
    """Call a module with the arguments that it has, wherever the inputs and the state stand among them.

    Raises:
        ScriptError: one of them is nothing that TorchScript can make.
    """
    names = iter(f"{name}.clone()" if in_place else name for name in model.names.takes)
    arguments = [_made(value, names) for value in model.arguments.args]
    arguments += [f"{name}={_made(value, names)}" for name, value in model.arguments.kwargs.items()]
    outputs = [f"_result{_access(model.results, path)}" for path in model.outputs or model.new[:1]]
    new = [f"_result{_access(model.results, path)}" for path in model.new]
    leaves = dict(zip([leaf.name for leaf in signature.state], new, strict=True))
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        f"    _result = self.{inner}({', '.join(arguments)})",
        f"    return {_result(signature, outputs, leaves)}",
    )


def check_dicts(value: Any) -> None:
    """Check that dicts hold values of one kind, as TorchScript types them: of others it warns past Python.

    Raises:
        ScriptError: one holds several.
    """
    parts = parts_of(value) or []
    nested = {parts_of(part) is None for _, part in parts}
    if isinstance(value, dict) and len(nested) > 1:
        reason = "TorchScript has no dict of tensors and of other values"
        raise ScriptError(f"{reason}. Return a tuple, or a dict of tensors.", reason=reason)
    for _, part in parts:
        check_dicts(part)


def _made(value: Any, names: Iterator[str]) -> str:
    """Write an argument, its tensors by their names in turn."""
    if isinstance(value, Tensor):
        return next(names)
    if type(value) in (tuple, list):
        inside = "".join(f"{_made(part, names)}, " for part in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{name!r}: {_made(part, names)}' for name, part in value.items())}}}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    kind = type(value).__name__
    raise ScriptError(f"TorchScript makes no {kind} out of tensors.", reason=f"TorchScript makes no {kind}")


def _access(value: Any, path: Path) -> str:
    """Write what picks a part out of a nested value.

    >>> _access(({"h": None}, None), (0, "h"))
    "[0]['h']"
    """
    if not path:
        return ""
    name, *rest = path
    part = dict(parts_of(value) or [])[name]
    picked = f"[{name!r}]" if isinstance(value, dict) or isinstance(name, int) else f".{name}"
    return f"{picked}{_access(part, tuple(rest))}"


def loop(signature: Signature, step: str) -> str:
    """Run a step, ``(inputs of one time step, *state) -> (*outputs, *state)``, over time."""
    names = [leaf.name for leaf in signature.state]
    outputs = [f"_{spec.name}_t" for spec in signature.outputs]
    results = ", ".join([*outputs, *names])
    now = [
        spec.name if spec.time_axis is None else f"{spec.name}.narrow({spec.time_axis}, _t, 1)"
        for spec in signature.inputs
    ]
    joined = [
        f"_{spec.name}_all[-1]"
        if spec.time_axis is None
        else f"torch.cat(_{spec.name}_all, {spec.time_axis})"
        for spec in signature.outputs
    ]
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        *(f"    _{spec.name}_all = torch.jit.annotate(List[Tensor], [])" for spec in signature.outputs),
        f"    for _t in range({_size(signature, TIME)}):",
        f"        {results} = self.{step}({', '.join([*now, *names])})",
        *(f"        _{spec.name}_all.append(_{spec.name}_t)" for spec in signature.outputs),
        f"    return {_result(signature, joined, dict(zip(names, names, strict=True)))}",
    )


def ragged(signature: Signature, inner: str) -> str:
    """Run each row alone, over its own time steps, and put the rows together."""
    leaves = {leaf.name: f"_{leaf.name}_row" for leaf in signature.state}
    arguments = [_row_of(spec) for spec in signature.inputs]
    arguments += [_expression(signature.tree, leaves)] if leaves else []
    new = _paths(signature.tree, f"_result[{len(signature.outputs)}]") if signature.returned_state else []
    several = bool(new) or len(signature.outputs) > 1
    ys = [f"_result[{number}]" if several else "_result" for number in range(len(signature.outputs))]
    axes = {spec.name: spec.batch_axis for spec in signature.results}
    joined = {name: f"torch.cat(_{name}_rows, {axis})" for name, axis in axes.items()}
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        *(f"    _{name}_rows = torch.jit.annotate(List[Tensor], [])" for name in axes),
        f"    for _b in range({_size(signature, BATCH)}):",
        "        _n = int(lengths[_b])",
        *(f"        _{spec.name}_row = {_ended_row(signature, spec)}" for spec in signature.outputs),
        *(
            f"        {leaves[leaf.name]} = {leaf.name}.narrow({leaf.batch_axis}, _b, 1)"
            for leaf in signature.state
        ),
        "        if _n > 0:",
        f"            _result = self.{inner}({', '.join(arguments)})",
        *(
            f"            _{spec.name}_row = {_padded(spec, y)}"
            for spec, y in zip(signature.outputs, ys, strict=True)
        ),
        *(f"            {row} = {path}" for row, path in zip(leaves.values(), new, strict=bool(new))),
        *(f"        _{spec.name}_rows.append(_{spec.name}_row)" for spec in signature.outputs),
        *(f"        _{leaf.name}_rows.append({leaves[leaf.name]})" for leaf in signature.returned_state),
        f"    return {_result(signature, [joined[spec.name] for spec in signature.outputs], joined)}",
    )


def _row_of(spec: TensorSpec) -> str:
    """Write a row's own part of an input, over its own time steps."""
    row = f"{spec.name}.narrow({spec.batch_axis}, _b, 1)"
    return row if spec.time_axis is None else f"{row}.narrow({spec.time_axis}, 0, _n)"


def _ended_row(signature: Signature, spec: OutputSpec) -> str:
    """Write a row of an output as it is behind its end, or of zeros if it is of the last time step."""
    sizes = (
        "1" if size == BATCH else _size(signature, size) if isinstance(size, str) else str(size)
        for size in spec.shape
    )
    shape, dtype = ", ".join(sizes), f"dtype=torch.{spec.dtype}"
    if spec.time_axis is None or spec.padding == 0:
        return f"torch.zeros([{shape}], {dtype})"
    return f"torch.tensor({spec.ended(spec.dtype).tolist()}, {dtype}).expand([{shape}])"


def _padded(spec: TensorSpec, y: str) -> str:
    """Write an output with what stands behind its last time step."""
    axis = spec.time_axis
    if axis is None:
        return y
    end = f"_{spec.name}_row.narrow({axis}, _n, _{spec.name}_row.size({axis}) - _n)"
    return f"torch.cat([{y}, {end}], {axis})"


def _size(signature: Signature, name: str) -> str:
    """Write a free size, as the first input has it that has it."""
    spec = next(spec for spec in signature.inputs if name in spec.shape)
    return f"{spec.name}.size({spec.shape.index(name)})"


def flat(signature: Signature, inner: str) -> str:
    """Make every leaf of the state a parameter and a result of its own."""
    count = len(signature.outputs)
    arguments = [*_inputs(signature), *([_expression(signature.tree)] if signature.state else [])]
    arguments += [LENGTHS.name] if signature.lengths else []
    results = _paths(signature.tree, f"_result[{count}]") if signature.returned_state else []
    first = [f"_result[{number}]" for number in range(count)] if results or count > 1 else ["_result"]
    return _lines(
        f"def forward(self, {', '.join(signature.input_names)}):",
        f"    _result = self.{inner}({', '.join(arguments)})",
        f"    return {', '.join([*first, *results])}",
    )


def _inputs(signature: Signature) -> list[str]:
    return [spec.name for spec in signature.inputs]


def _lines(*lines: str) -> str:
    return "\n".join([*lines, ""])


def _header(signature: Signature) -> str:
    state = f", state: {_type(signature.tree)}" if signature.state else ""
    lengths = f", {LENGTHS.name}" if signature.lengths else ""
    return f"def forward(self, {', '.join(_inputs(signature))}{state}{lengths}):"


def _unwrapped(signature: Signature) -> list[str]:
    """Name the leaves of the state."""
    paths = _paths(signature.tree, "state") if signature.state else []
    return [f"    {leaf.name} = {path}" for leaf, path in zip(signature.state, paths, strict=True)]


def _result(signature: Signature, outputs: list[str], leaves: dict[str, str]) -> str:
    state = [_expression(signature.tree, leaves)] if signature.returned_state else []
    return ", ".join([*outputs, *state])


def _type(tree: Tree) -> str:
    """Write the type of the state for TorchScript."""
    if isinstance(tree, str):
        return "Tensor"
    [(kind, children)] = tree.items()
    return f"Tuple[{', '.join(map(_type, children))}]" if kind == "tuple" else f"List[{_type(children[0])}]"


def _expression(tree: Tree, leaves: dict[str, str] | None = None) -> str:
    """Write the Python expression that builds the state from its leaves."""
    if isinstance(tree, str):
        return leaves[tree] if leaves else tree
    [(kind, children)] = tree.items()
    inside = "".join(f"{_expression(child, leaves)}, " for child in children)
    return f"({inside})" if kind == "tuple" else f"[{inside}]"


def _names(tree: Tree) -> list[str]:
    """List the leaves' names from left to right."""
    if isinstance(tree, str):
        return [tree]
    [children] = tree.values()
    return [name for child in children for name in _names(child)]


def _paths(tree: Tree, path: str) -> list[str]:
    """Write the expressions that pick the leaves out of the value called ``path``."""
    if isinstance(tree, str):
        return [path]
    [children] = tree.values()
    return [leaf for number, child in enumerate(children) for leaf in _paths(child, f"{path}[{number}]")]
