"""``rnn_export.optimize``: the passes on an ONNX file that others made.

Its loops become ``Scan`` where they are folds over time, and then what the passes make of a ``Scan``. The
result has the names, shapes and metadata of the file. It is compared with the file in ONNX Runtime, on random
calls of several sizes and on empty ones, before anyone sees it; a file that cannot be tried out is left as it
is. All that runs a model runs in a process of its own, which may crash, and has a time limit.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from rnn_export.bundle.staging import beside, claim, explained, sync
from rnn_export.bundle.untrusted.protobuf import look
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.onnx_file.opset import check_opset, lowered, opset_of, raised
from rnn_export.errors import OnnxFileError, mismatch, path_of
from rnn_export.failures import typed
from rnn_export.optimization import Loop, Optimization, Speed
from rnn_export.passes import pipeline
from rnn_export.passes.choose import rank
from rnn_export.passes.operators.guard import unguarded, usual
from rnn_export.passes.time.no_steps import no_steps
from rnn_export.program.agree import agree
from rnn_export.program.program import AS_ASKED, ORIGIN, SAMPLING, Program, sampled
from rnn_export.program.scan import Scan, scans
from rnn_export.program.session import running
from rnn_export.runtimes.empty_comparison import empty_fault
from rnn_export.runtimes.model_runs import ModelRuns, RunError, model_runs
from rnn_export.runtimes.sample_calls import trial_of
from rnn_export.signature.sizes import BATCH, TIME

CALLS = ((1, 1), (2, 1), (1, 3), (5, 3), (7, 2))  # time steps and rows, where a file leaves them free
LARGEST = (1 << 31) - 1  # bytes of a protobuf message
NAMELESS = 4  # the first version of the format whose initializers need not be inputs
TYPICAL = (100, 1)  # time steps and rows of a call, where a file does not fix them


@dataclass(frozen=True)
class Asked:
    """What runs models, the opset of the result, if another is wanted, and how long to time calls."""

    runs: ModelRuns
    opset: int | None
    seconds: float


def optimize(
    model: onnx.ModelProto | str | Path,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    opset: int | None = None,
    seconds: float = 0.0,
) -> Optimization:
    """Rewrite the loops of an ONNX model so that ONNX Runtime runs them as fast as it can.

    Args:
        model: an ONNX model, or the path of one, in one file of less than 2 GB.
        out: where the result goes. It appears there whole, after it was compared with the model.
        overwrite: whether to replace a file that is there.
        opset: the version of ONNX's operators that the result is written for; that of the model if it is not
            given.
        seconds: how long to time calls of the model and of the result, in turns; they are not timed unless
            given.

    Raises:
        OnnxFileError: the model cannot be read, there is no such opset, the file cannot be written, or no
            form of it gives what the model gives. Nothing is written then.
        PassError: a pass changed what the model computes: a bug of this package.
    """
    if out is not None and Path(out).exists() and not overwrite:
        raise _exists_already(out)
    check_opset(opset, "Leave it out to keep that of the model.")
    with typed("the optimization", OnnxFileError, "Nothing was written. Please report it."):
        given = _loaded(model)
        with model_runs() as runs, running(runs):
            result = _tried(given, Asked(runs, opset, seconds))
    if out is not None:
        _write(result.model, Path(out), overwrite=overwrite)
    return result


def _loaded(model: onnx.ModelProto | str | Path) -> onnx.ModelProto:
    """Read a model that lies in one file."""
    if not isinstance(model, onnx.ModelProto):
        path = path_of(model, "model", "Pass an ONNX model, or the path of one.")
        try:
            size = path.stat().st_size
            if size > LARGEST:
                raise OnnxFileError(
                    mismatch(str(path), "at most 2 GB", f"{size} bytes", "Export it smaller.")
                )
            model = onnx.load_model_from_string(path.read_bytes())
        except OSError as error:
            raise OnnxFileError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
        except DecodeError as error:
            remedy = "Pass a file that an exporter wrote."
            raise OnnxFileError(mismatch(str(path), "an ONNX model", "something else", remedy)) from error
    if not model.graph.output:
        raise OnnxFileError(mismatch("the model", "a graph with outputs", "none", "Pass an ONNX model."))
    if look(model.SerializeToString(), "the model", OnnxFileError, LARGEST).external:
        remedy = "Load it with onnx.load and save it with onnx.save as one file."
        raise OnnxFileError(mismatch("the model", "all tensors inside", "external data", remedy))
    _check(model)
    return model


def _check(model: onnx.ModelProto) -> None:
    """Check that a model is one of ONNX, as all that works on it takes for granted.

    Raises:
        OnnxFileError: it is not.
    """
    try:
        with _shaped(model.graph):
            onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, data_prop=True)
        for tensor in _tensors(ir.from_proto(model)):
            tensor.numpy()
    except Exception as error:  # each of the libraries has exceptions of its own
        reason = str(error).strip().partition("\n")[0]
        raise OnnxFileError(
            mismatch("the model", "one that ONNX allows", reason, "Export it again.")
        ) from error


@contextmanager
def _shaped(graph: onnx.GraphProto) -> Iterator[None]:
    """Give a shape to inputs and outputs without one: the checker asks for it, and nobody else."""
    tensors = [value.type.tensor_type for value in (*graph.input, *graph.output)]
    bare = [tensor for tensor in tensors if tensor.elem_type and not tensor.HasField("shape")]
    for tensor in bare:
        tensor.shape.SetInParent()
    try:
        yield
    finally:
        for tensor in bare:
            tensor.ClearField("shape")


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
        for node in graph:
            values = (attribute.value for attribute in node.attributes.values())
            yield from (value for value in values if isinstance(value, ir.TensorProtocol))


def _tried(given: onnx.ModelProto, asked: Asked) -> Optimization:
    original = Program(ir.from_proto(given))
    reason, sampling = "", AS_ASKED
    if {"Loop", "Scan"} & set(_operators(original.model)):
        original, sampling, reason = trial_of(original, CALLS)
    with sampled(sampling):
        return _rewritten(given, original, asked, reason)


def _rewritten(given: onnx.ModelProto, original: Program, asked: Asked, reason: str) -> Optimization:
    count = _operators(original.model)
    try:
        reading = reader.read(original.proto(), same=None if reason else _agree_after, marked=True)
    except OnnxFileError as error:
        return Optimization(given, (), "", str(error), count, count)
    loops = tuple(Loop(loop.kind, loop.where, loop.states, left=loop.reason) for loop in reading.loops)
    loops = tuple(replace(loop, left=loop.left or reason) for loop in loops)
    if all(loop.left for loop in loops):
        return Optimization(given, loops, "", "", count, count)
    forms = pipeline.forms_of(pipeline.optimize(reading.program))
    faults = []
    sizes = _sizes(reading.program.model)
    for form in rank(forms, *(size for _, size in sizes)):
        try:
            finished = _finished(no_steps(forms[form]).copy().model, given, asked.opset)
        except OnnxFileError as error:
            faults.append(f"{error}. Ask for another opset")
            continue
        made = Program(ir.from_proto(finished))
        with running(partial(asked.runs, optimized=True)):
            same = _agree(original, made, CALLS)
            fault = _fault(original, made) if same else ""
        if same and not fault:
            loops = tuple(_with_outcome(loop, number, forms[form].model) for number, loop in enumerate(loops))
            after = _operators(_read(finished))
            speed = _timed(original, finished, asked, sizes) if asked.seconds else None
            return Optimization(finished, loops, form, "", count, after, len(CALLS), speed)
        faults += [fault] if fault else []
    if faults:
        loops = tuple(replace(loop, left=loop.left or faults[0]) for loop in loops)
        return Optimization(given, loops, "", "", count, count)
    raise OnnxFileError(
        f"no form ({', '.join(forms)}) gives in ONNX Runtime what the model gives; nothing was written. "
        "Please report it."
    )


def _timed(original: Program, made: onnx.ModelProto, asked: Asked, sizes: Sequence[tuple[str, int]]) -> Speed:
    """Time a call of both, of the sizes that the form was chosen for."""
    steps, rows = (size for _, size in sizes)
    models = [model.SerializeToString() for model in (original.proto(), made)]
    before, after = asked.runs.time(models, original.sample(steps, rows, dict(sizes)), asked.seconds)
    return Speed(steps, rows, before, after)


def _fault(original: Program, made: Program) -> str:
    """Say what a model no longer does with an empty call, or with any numbers and truth values."""
    sampling = SAMPLING.get()
    with sampled(replace(sampling, fewer=None)):
        fault = "" if sampling.fewer is None else empty_fault(original, made, CALLS)
    with sampled(replace(sampling, more=(0, 0))):
        return fault or empty_fault(original, made)


def _agree_after(one: Program, other: Program) -> bool:
    return _agree(one, no_steps(other))


def _agree(one: Program, other: Program, calls: Sequence[tuple[int, int]] = CALLS[:4]) -> bool:
    try:
        return agree(one, other, calls)
    except RunError:  # what cannot be run does not give the same
        return False


def _operators(model: ir.Model) -> dict[str, int]:
    return dict(Counter(node.op_type for graph in model.graphs() for node in graph))


def _read(finished: onnx.ModelProto) -> ir.Model:
    """Give a model as a person reads it: what it usually runs."""
    return unguarded(ir.from_proto(finished))


def _sizes(model: ir.Model) -> list[tuple[str, int]]:
    """Give the time steps and rows of a call, each with its name: the file's, as far as it fixes them."""
    sequences = [scan.sequences[-1] for scan in scans(model.graph)]
    shapes = [value.shape for value in sequences if value.shape is not None]
    known = [list(shape)[:2] for shape in shapes if len(shape) > 2]
    pairs = zip(known[0] if known else (TIME, BATCH), TYPICAL, strict=True)
    return [(str(size), size if isinstance(size, int) else typical) for size, typical in pairs]


def _finished(model: ir.Model, given: onnx.ModelProto, opset: int | None) -> onnx.ModelProto:
    """Give a model the names, shapes, metadata and opset of the file, or another opset.

    Raises:
        OnnxFileError: it cannot be written for that opset.
    """
    for graph in model.graphs():
        for node in graph:
            node.metadata_props.pop(ORIGIN, None)
    wanted = opset or opset_of(given)
    if wanted < model.opset_imports[""]:
        lowered(model, wanted)
    finished = raised(ir.to_proto(model), wanted)
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]) if opset else NAMELESS
    finished.ir_version = max(given.ir_version, needed)
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(finished, name, getattr(given, name))
    _same_list(finished.metadata_props, given.metadata_props)
    for name in ("name", "doc_string"):
        setattr(finished.graph, name, getattr(given.graph, name))
    for name in ("input", "output", "metadata_props"):
        _same_list(getattr(finished.graph, name), getattr(given.graph, name))
    inputs = {value.name for value in given.graph.input}
    finished.graph.initializer.extend(value for value in given.graph.initializer if value.name in inputs)
    return finished


def _same_list(own: Any, given: Any) -> None:
    del own[:]
    own.extend(given)


def _with_outcome(loop: Loop, number: int, model: ir.Model) -> Loop:
    """Say what a loop became."""
    parts = [node for node in usual(model.graph) if node.metadata_props.get(ORIGIN) == str(number)]
    return loop if loop.left else replace(loop, became=tuple(map(_kind, parts)))


def _kind(node: ir.Node) -> str:
    direction = node.attributes.get_string("direction", "")
    backward = Scan(node).reversed if node.op_type == "Scan" else direction == "reverse"
    return f"{node.op_type} (reversed)" if backward else node.op_type


def _exists_already(path: str | Path) -> OnnxFileError:
    return OnnxFileError(f"{path} exists. Name another file, or pass overwrite=True (--overwrite).")


def _write(model: onnx.ModelProto, path: Path, *, overwrite: bool) -> None:
    """Write a file whole or not at all."""
    with explained(path, OnnxFileError), beside(path) as folder:
        whole = folder / path.name
        whole.write_bytes(model.SerializeToString(deterministic=True))
        sync(whole)
        try:
            whole.replace(path) if overwrite else claim(whole, path)
        except FileExistsError as error:
            raise _exists_already(path) from error
