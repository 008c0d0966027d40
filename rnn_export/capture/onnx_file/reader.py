"""An ONNX file made elsewhere as a Program: every loop that is a fold over time is a ``Scan``.

A file of an opset below 18 is converted, functions are inlined, and constants folded. Then every ``Loop`` of
the graph that is a fold becomes a ``Scan`` (:mod:`rnn_export.capture.onnx_file.loop_to_scan`), and every
``Scan`` one that the passes take apart (:mod:`rnn_export.capture.onnx_file.scan_direction`). A loop that
cannot be proven to be one is left as it is, with the reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import onnx
import onnx.shape_inference
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from rnn_export.capture.onnx_file.list_entries import resolve
from rnn_export.capture.onnx_file.loop_to_scan import scan_of_loop
from rnn_export.capture.onnx_file.opset import opset_of, raised
from rnn_export.capture.onnx_file.scan_direction import straighten
from rnn_export.capture.onnx_file.sequence_lists import unsplit
from rnn_export.errors import NotAFoldError, OnnxFileError
from rnn_export.program.program import IR_VERSION, OPSET, ORIGIN, Program, name_apart
from rnn_export.program.quiet import quiet
from rnn_export.program.scan import Scan
from rnn_export.program.values import may_be_computed
from rnn_export.signature.signature import Signature

LOOPS = ("Loop", "Scan")
LARGEST = 1 << 20  # numbers in a constant that is computed
LEADING = 9  # the first opset whose Scan has no batch axis of its own
DIFFERS = (
    "as a Scan it does not give the same results: if a state of it grows, as by torch.cat, append to a list"
)
LIFT = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
Same = Callable[[Program, Program], bool]


@dataclass(frozen=True)
class Recurrence:
    """A loop of a file: what it is, the name of its node, and why it is left as it is, if it is."""

    kind: str
    where: str
    states: int
    reason: str = ""


@dataclass(frozen=True)
class Reading:
    """A file as a Program, and its loops: those of the graph in its order, then those inside of others."""

    program: Program
    loops: tuple[Recurrence, ...]

    @property
    def left(self) -> list[str]:
        """Say which loops are left as they are, and why."""
        return [f"{loop.kind} {loop.where!r}: {loop.reason}" for loop in self.loops if loop.reason]


def read(
    model: onnx.ModelProto,
    signature: Signature | None = None,
    *,
    same: Same | None = None,
    marked: bool = False,
) -> Reading:
    """Turn every loop of a model that is a fold over time into a ``Scan``.

    Args:
        model: an ONNX model, such as ``torch.onnx`` writes it.
        signature: what a call looks like, if its inputs and outputs are those of a signature.
        same: decides whether a Program with a ``Scan`` computes what it did with the ``Loop``.
        marked: whether the metadata of every loop, and of what passes make of it, holds its number.

    Raises:
        OnnxFileError: the model cannot be brought to the opset of the passes, or its constants be folded.
    """
    opened = ir.from_proto(model)
    if signature is None:
        _forget_names(opened)
    opened = ir.from_proto(_converted(ir.to_proto(opened)))
    _fold_constants(opened)
    found = [_recurrence(node, reason) for node, reason in _loops(opened)]
    if marked:
        for number, (node, _) in enumerate(_loops(opened)):
            node.metadata_props[ORIGIN] = str(number)
    program = _prepared(opened, signature)
    loops, left = [], 0
    for loop in found:
        if loop.kind == "Loop" and not loop.reason:
            program, reason = _folded(program, left, same)
            left += bool(reason)
            loops.append(replace(loop, reason=reason))
        else:
            loops.append(loop)
    return Reading(_inferred(straighten(program)), tuple(loops))


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a model to the opset of the passes, if its own is older."""
    opset = opset_of(model)
    if opset < LEADING and any(node.op_type == "Scan" for node in model.graph.node):
        raise OnnxFileError(f"its Scan is of opset {opset}, which has a batch axis of its own")
    return raised(model, OPSET)


def _forget_names(model: ir.Model) -> None:
    """Forget what free sizes are called but those of the inputs: an exporter may have been wrong."""
    functions = [function.graph for function in model.functions.values()]
    for graph in (*model.graphs(), *functions):
        inputs = () if graph is model.graph else graph.inputs
        for value in (*inputs, *(output for node in graph for output in node.outputs)):
            if value.shape is not None:
                value.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])


def _fold_constants(model: ir.Model) -> None:
    """Inline functions and fold constants; an initializer that is an input as well is no constant."""
    model.ir_version = max(model.ir_version or 0, IR_VERSION)
    for value in model.graph.inputs:
        model.graph.initializers.pop(str(value.name), None)
        value.const_value = None
    with quiet():
        common.InlinePass()(model)
        _fold(model)


def _fold(model: ir.Model) -> None:
    """Compute what depends on constants alone, and is not large."""
    try:
        onnxscript.optimizer.fold_constants(
            model,
            onnx_shape_inference=True,
            should_fold=lambda node: None if may_be_computed(node, LARGEST) else False,
        )
    except RuntimeError as error:  # names a node that it cannot read
        raise OnnxFileError(f"its constants cannot be folded: {error}") from error


def _prepared(model: ir.Model, signature: Signature | None) -> Program:
    """Bring every constant to the graph's initializers, and undo lists that are tensors cut up."""
    name_apart(model)
    _lift_constants(model)
    return _unsplit(Program(model, signature))


def _lift_constants(model: ir.Model) -> None:
    """Bring every constant, those of bodies and branches as well, to the graph's initializers."""
    LIFT(model)
    name_apart(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    name_apart(model)


def _unsplit(program: Program) -> Program:
    """Undo the lists whose entries' shape is known."""
    program = _inferred(program)
    for graph in list(program.model.graphs()):
        resolve(graph)
    unsplit(program.model)
    name_apart(program.model)
    return _inferred(program)


def _inferred(program: Program) -> Program:
    """Fold constants and infer shapes until no more of them are known.

    ONNX's own inference goes through the inputs and outputs of loops, that of onnxscript sees constants from
    outside of them: each helps the other on. Each turn leaves fewer unknown than the one before, or is the
    last.
    """
    while True:
        before = _unknown(program.model)
        with quiet():
            _fold(program.model)
        name_apart(program.model)
        _lift_constants(program.model)
        inferred = onnx.shape_inference.infer_shapes(program.proto(), data_prop=True)
        program = Program(ir.from_proto(inferred), program.signature)
        if not 0 < _unknown(program.model) < before:
            return program


def _unknown(model: ir.Model) -> int:
    values = (value for graph in model.graphs() for node in graph for value in node.outputs)
    return sum(value.shape is None for value in values)


def _loops(model: ir.Model) -> Iterator[tuple[ir.Node, str]]:
    """Give all loops, and why those that are no nodes of the graph itself are left."""
    for graph in model.graphs():
        reason = "" if graph is model.graph else "it is inside of another loop or branch"
        yield from ((node, reason) for node in graph if node.op_type in LOOPS and not node.domain)


def _recurrence(node: ir.Node, reason: str) -> Recurrence:
    body = node.attributes["body"].as_graph()
    if node.op_type == "Loop":
        lists = (isinstance(value.type, ir.SequenceType) for value in body.inputs[2:])
        return Recurrence("Loop", node.name or "", sum(not listed for listed in lists), reason)
    if any(a.type == ir.AttributeType.GRAPH for inner in body for a in inner.attributes.values()):
        reason = reason or "its body holds graphs of its own"
    return Recurrence("Scan", node.name or "", len(Scan(node).states), reason)


def _folded(program: Program, place: int, same: Same | None) -> tuple[Program, str]:
    """Turn one ``Loop`` into a ``Scan``, or say why it is left."""
    try:
        after = _unsplit(scan_of_loop(program, place))
    except NotAFoldError as error:
        return program, str(error)
    if same is not None and not same(program, after):
        return program, DIFFERS
    return after, ""
