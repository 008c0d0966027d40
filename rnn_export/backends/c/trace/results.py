"""Where the results of a traced graph stand: the outputs, and the state that comes out."""

from rnn_export.backends.c.trace.graph import Final, Input, Net, Operand, Output, View
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.trace import Tracer
from rnn_export.errors import CompileError
from rnn_export.signature.tensors import TensorSpec

PIECES = 8  # of an output, up to which each is copied by itself


def net_of(tracer: Tracer, results: list[Value]) -> Net:
    """Say where the results of a traced graph stand, the outputs first.

    Raises:
        CompileError: one is not what the signature says, or not of the last time step where it has to be.
    """
    count = len(tracer.signature.outputs)
    outputs = [
        _output(tracer, spec, value)
        for spec, value in zip(tracer.signature.outputs, results[:count], strict=True)
    ]
    found = []
    for spec, value in zip(tracer.signature.returned_state, results[count:], strict=True):
        if tuple(value.shape) != spec.sized(**tracer.sizes):
            raise CompileError(f"{spec.output_name} has the shape {list(value.shape)}")
        found.append([_final(view) for view in tracer.space.views(value, value.shape)])
    vectors = [each for each in tracer.vectors if not isinstance(each.operation, Final)]
    net = Net(tracer.sweeps, vectors, outputs, found)
    if any(uses for vector, uses in net.uses().items() if vector in tracer.row_numbers):
        raise CompileError("it computes with the number of a row")
    return net


def _output(tracer: Tracer, spec: TensorSpec, value: Value) -> Output:
    """Say where the numbers of an output stand."""
    shape = spec.sized(**tracer.sizes)
    if tuple(value.shape) != shape:
        raise CompileError(f"{spec.name} has the shape {list(value.shape)}, not {list(shape)}")
    last = spec.time_axis is None
    timed = tracer.signature.timed  # or there is but one time step
    if last and timed and not (isinstance(value, Symbol) and tracer.space.is_last(value)):
        raise CompileError(f"{spec.name} is not that of the last time step")
    pieces = tracer.space.views(value, value.shape)
    sweeps = {part.vector.sweep for part in pieces if isinstance(part, View)}
    if len(pieces) > PIECES and len(sweeps) == 1:
        pieces = [tracer.view(value, value.shape)]
    return Output(pieces, last)


def _final(view: Operand) -> Operand:
    """Give a place in a final state as one in the state ittracer."""
    operation = view.vector.operation if isinstance(view, View) else None
    if isinstance(view, View) and isinstance(operation, Final):
        return View(operation.state, view.offset, view.size, view.step)
    if operation is not None and not isinstance(operation, Input):
        raise CompileError("a state that comes out is not a loop's")
    return view
