"""TorchScript's source text of the functions that stand around a module: what :mod:`.script` compiles.

``model.pt`` is called ``(inputs, state) -> (outputs, state)``, with the state wrapped as the signature's tree
says; without ``state`` where the module takes none, and with the outputs alone where it returns none. With
lengths it is ``(inputs, state, lengths) -> (outputs, state)``.
"""

from rnn_export.module.calling import OUTPUTS, Calling
from rnn_export.signature.signature import LENGTHS, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tree import Tree


def adapted(signature: Signature, calling: Calling, inner: str) -> str:
    """Call the module its own way, and return ``(outputs, state)``."""
    gives = dict(zip(_names(calling.gives), _paths(calling.gives, "result"), strict=True))
    outputs = gives.get(OUTPUTS, next(iter(gives.values())))
    arguments = ["inputs"] if calling.takes is None else ["inputs", "state"]
    named: list[str] = []
    if calling.in_place:
        named = _unwrapped(signature)
        copies = {leaf.name: f"{leaf.name}.clone()" for leaf in signature.state}
        arguments = ["inputs.clone()", *([_expression(signature.tree, copies)] if signature.state else [])]
    return _lines(
        _header(signature),
        *named,
        f"    result = self.{inner}({', '.join(arguments)})",
        f"    return {_result(signature, f'torch.stack({outputs})' if calling.listed else outputs, gives)}",
    )


def loop(signature: Signature, step: str) -> str:
    """Run a step, ``(inputs of one time step, *state) -> (outputs, *state)``, over time."""
    names = [leaf.name for leaf in signature.state]
    axis, outputs_axis = signature.inputs.time_axis, signature.outputs.time_axis
    joined = "outputs[-1]" if outputs_axis is None else f"torch.cat(outputs, {outputs_axis})"
    results = ", ".join(["y", *names]) if names else "y"
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        "    outputs = torch.jit.annotate(List[Tensor], [])",
        f"    for t in range(inputs.size({axis})):",
        f"        {results} = self.{step}({', '.join([f'inputs.narrow({axis}, t, 1)', *names])})",
        "        outputs.append(y)",
        f"    return {_result(signature, joined, dict(zip(names, names, strict=True)))}",
    )


def ragged(signature: Signature, inner: str) -> str:
    """Run each row alone, over its own time steps, and put the rows together."""
    time, batch, outputs = signature.inputs.shape.index(TIME), signature.inputs.batch_axis, signature.outputs
    leaves = {leaf.name: f"{leaf.name}_row" for leaf in signature.state}
    arguments = [f"inputs.narrow({batch}, b, 1).narrow({time}, 0, n)"]
    arguments += [_expression(signature.tree, leaves)] if leaves else []
    new = _paths(signature.tree, "result[1]") if signature.returned_state else []
    y = "result[0]" if new else "result"
    axis = outputs.time_axis
    padded = y if axis is None else f"torch.cat([{y}, y.narrow({axis}, n, y.size({axis}) - n)], {axis})"
    size = ", ".join({TIME: f"inputs.size({time})", BATCH: "1"}.get(str(k), str(k)) for k in outputs.shape)
    axes = {spec.name: spec.batch_axis for spec in signature.results}
    joined = {name: f"torch.cat({name}_rows, {axis})" for name, axis in axes.items()}
    return _lines(
        _header(signature),
        *_unwrapped(signature),
        *(f"    {name}_rows = torch.jit.annotate(List[Tensor], [])" for name in axes),
        f"    for b in range(inputs.size({batch})):",
        "        n = int(lengths[b])",
        f"        y = torch.zeros([{size}], dtype=torch.{outputs.dtype})",
        *(
            f"        {leaves[leaf.name]} = {leaf.name}.narrow({leaf.batch_axis}, b, 1)"
            for leaf in signature.state
        ),
        "        if n > 0:",
        f"            result = self.{inner}({', '.join(arguments)})",
        f"            y = {padded}",
        *(f"            {row} = {path}" for row, path in zip(leaves.values(), new, strict=bool(new))),
        f"        {outputs.name}_rows.append(y)",
        *(f"        {leaf.name}_rows.append({leaves[leaf.name]})" for leaf in signature.returned_state),
        f"    return {_result(signature, joined[outputs.name], joined)}",
    )


def flat(signature: Signature, inner: str) -> str:
    """Make every leaf of the state a parameter and a result of its own."""
    arguments = ["inputs", *([_expression(signature.tree)] if signature.state else [])]
    arguments += [LENGTHS.name] if signature.lengths else []
    results = _paths(signature.tree, "result[1]") if signature.returned_state else []
    first = "result[0]" if results else "result"
    return _lines(
        f"def forward(self, {', '.join(signature.input_names)}):",
        f"    result = self.{inner}({', '.join(arguments)})",
        f"    return {', '.join([first, *results])}",
    )


def _lines(*lines: str) -> str:
    return "\n".join([*lines, ""])


def _header(signature: Signature) -> str:
    state = f", state: {_type(signature.tree)}" if signature.state else ""
    lengths = f", {LENGTHS.name}" if signature.lengths else ""
    return f"def forward(self, inputs{state}{lengths}):"


def _unwrapped(signature: Signature) -> list[str]:
    """Name the leaves of the state."""
    paths = _paths(signature.tree, "state") if signature.state else []
    return [f"    {leaf.name} = {path}" for leaf, path in zip(signature.state, paths, strict=True)]


def _result(signature: Signature, outputs: str, leaves: dict[str, str]) -> str:
    if not signature.returned_state:
        return outputs
    return f"{outputs}, {_expression(signature.tree, leaves)}"


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
