"""``model.c`` and ``model.h`` as text, from a Program."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, islice
from math import prod
from typing import Any

import jinja2
import numpy as np

from rnn_export.backends.c.plan.buffers import PAD
from rnn_export.backends.c.plan.merge import merge
from rnn_export.backends.c.trace.clocks import clocks_of, sizes_apart, sizes_of
from rnn_export.backends.c.trace.composed import RULES
from rnn_export.backends.c.trace.operators import expand
from rnn_export.backends.c.trace.results import net_of
from rnn_export.backends.c.trace.symbols import Space, TakenError
from rnn_export.backends.c.trace.trace import Tracer
from rnn_export.backends.c.write.layout import C_TYPES, parameters, units, words
from rnn_export.backends.c.write.literals import constant_text, integer, literal
from rnn_export.backends.c.write.source import Source, resource
from rnn_export.bundle.layout import MODEL_C, MODEL_H
from rnn_export.errors import CompileError
from rnn_export.program.program import Program
from rnn_export.program.small_weights import FLOAT32
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import OutputSpec, StateSpec, TensorSpec
from rnn_export.version import __version__

LINE = 110  # characters
FRAME = 24 << 10  # bytes; what GCC and clang use beside the buffers, from -O1 on, as tests measure
SMALL_FRAME = 1 << 10  # bytes; the same with one slot alone
TRIES = 12  # sizes for batch and time
MOST_TEXTS = 4  # of which two have to be alike: a size may be that of something else without being seen
OWN = re.compile(
    r"^(?:INLINE|APART TARGET static) \w+ (\w+)\(", re.MULTILINE
)  # functions that each kind of processor has

Decided = list[tuple[tuple[int, ...], bytes]]  # the numbers by which branches were chosen


@dataclass(frozen=True)
class Files:
    """The text of both files, and the numbers of a large model, which stand beside them.

    ``kept`` names the matrices in float32 where smaller weights are asked for.
    """

    source: str
    header: str
    weights: bytes
    kept: tuple[str, ...] = ()


def compile_program(
    program: Program, signature: Signature, name: str, prefix: str = "", weights: str = FLOAT32
) -> Files:
    """Turn a Program into C.

    Args:
        program: the net.
        signature: its call; whether the function takes lengths, too.
        name: what the functions are called after.
        prefix: what the names of the model's parameters begin with in the Program; others have none.
        weights: the format of its matrices, those that are rounded to it.

    Raises:
        CompileError: it cannot be done; the message is the reason.
    """
    if signature.dtype != "float32":
        raise CompileError(f"its numbers are {signature.dtype}; C is written for float32")
    for spec in (*signature.inputs, *signature.state, *signature.outputs):
        if spec.dtype not in C_TYPES:
            raise CompileError(
                f"{spec.name} has the dtype {spec.dtype}; C takes and gives {', '.join(C_TYPES)}"
            )
    clocks = clocks_of(program, signature)
    if signature.lengths and len(clocks) > 1 + len(signature.free_sizes):
        raise CompileError("it takes lengths, and its values have other numbers of time steps than the call")
    program = expand(program)
    texts: list[tuple[Decided, Files]] = []
    reason = "its batch or its number of time steps is that of another axis, however large they are"
    taken, sizes = sizes_apart(program, clocks, cut=signature.streamable)
    for rows, others in islice(sizes, TRIES):
        space = Space(rows, sizes_of(clocks, others), taken)
        try:
            tracer = Tracer(program, signature, space, RULES, prefix)
            files = _write(tracer, identifier(name), weights)
        except TakenError as error:
            reason = str(error)
            continue
        texts.append(([(each.shape, each.tobytes()) for each in tracer.decided], files))
        if texts[-1] in texts[:-1]:
            return files
        if len(texts) == MOST_TEXTS:
            break
    raise CompileError(_differing(texts) if len(texts) > 1 else reason)


def _differing(texts: Sequence[tuple[Decided, Files]]) -> str:
    """Say in what the texts of several sizes differ, of which no two are alike."""
    by_branches = all(one != other for (one, _), (other, _) in combinations(texts, 2))
    what = "chooses a branch" if by_branches else "takes part in the arithmetic as a number"
    return f"the batch or the number of time steps {what}"


def _write(tracer: Tracer, name: str, weights: str) -> Files:
    net = net_of(tracer, tracer.run())
    merge(net)
    source = Source(net, tracer.signature, name, weights)
    kept = tuple(dict.fromkeys(source.weights.kept))
    return Files(_source(source, name), _header(source, name), source.weights.content(), kept)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701 - C, not HTML
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"wrapped": wrapped, "units": units, "of_each": of_each}
    return environment.from_string(resource(f"templates/{name}.jinja"))


def of_each(spec: TensorSpec) -> str:
    """Say what the numbers of a tensor are counted for, beside a row.

    >>> of_each(TensorSpec("weights", "float32", ("batch", "time", "memory_length")))
    'row, time step and entry of memory_length'
    """
    names = [size for size in spec.shape if isinstance(size, str) and size != BATCH]
    each = [
        "row",
        *(f"entry of {size}" if size.isidentifier() and size != TIME else "time step" for size in names),
    ]
    return " and ".join([", ".join(each[:-1]), each[-1]] if each[1:] else each)


def wrapped(line: str) -> str:
    """Break a long line of C where an argument ends.

    >>> print(wrapped("f(" + ", ".join(["12345678"] * 12) + ");"))
    f(12345678, 12345678, 12345678, 12345678, 12345678, 12345678, 12345678, 12345678, 12345678, 12345678,
            12345678, 12345678);
    """
    if len(line) <= LINE or line.lstrip().startswith(("/*", "*")):
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 8)
    lines = [""]
    for piece in re.split(r"(?<=,) ", line):
        if lines[-1].strip() and len(lines[-1]) + len(piece) > LINE:
            lines[-1] = lines[-1].rstrip()
            lines.append(indent)
        lines[-1] += f"{piece} "
    lines[-1] = lines[-1].rstrip()
    return "\n".join(lines)


def _arguments(source: Source) -> str:
    """Write what the function takes."""
    signature, names = source.signature, parameters(source.signature)
    parts = [
        "size_t steps, size_t batch",
        *(f"size_t {name}" for name in signature.free_sizes),
        *(f"const {C_TYPES[spec.dtype]} *{names[spec.name]}" for spec in signature.inputs),
        "const float *state_in",
        *(f"{C_TYPES[spec.dtype]} *{names[spec.name]}" for spec in signature.outputs),
        "float *state_out",
    ]
    if source.plan.workspaces:
        parts.append("float *workspace")
    if source.signature.lengths:
        parts.append("const int64_t *lengths")
    return ", ".join(parts)


def _members(source: Source) -> dict[str, str]:
    """Declare the arguments of the call that the net reads or writes, by name."""
    listed = re.split(r", ", _arguments(source))
    arguments = {re.split(r"[ *]", argument)[-1]: argument for argument in listed}
    read = {*re.findall(r"\bc->(\w+)", "\n".join(source.walk))}
    # run_all reads the steps or the lengths
    read.add("lengths" if source.signature.lengths else "steps")
    return {name: argument for name, argument in arguments.items() if name in read}


def _source(source: Source, name: str) -> str:
    """Write ``model.c``."""
    signature, arguments, members = source.signature, _arguments(source), _members(source)
    ended = _ended(signature, name) if signature.lengths else {}
    functions = dict.fromkeys(OWN.findall("\n".join([*source.kernels, *source.tiles, *source.walk])))
    runs = ("run_all",) if signature.lengths else ("run_step", "run_row", "run_rows", "run_all")
    read = " ".join(text for each in ended.values() for text in each.values())
    named = {*members, *ended, *re.findall(r"\w+", read)}
    taken = [re.split(r"[ *]", argument)[-1] for argument in arguments.split(", ")]
    return _template(MODEL_C).render(
        name=name,
        version=__version__,
        file=MODEL_C,
        functions=["vec", "ivec", *functions, *runs],
        slots=source.plan.room.slots,
        few=source.plan.room.few,
        pad=PAD,
        sizes=source.sizes,
        members=members,
        unused=[word for word in taken if word not in named],
        handed_on=", ".join(taken),
        weights=source.weights.declarations(name),
        arguments=arguments,
        ended=ended,
        leaves=[_leaf(leaf) for leaf in signature.state],
        kernels=source.kernels,
        tiles=source.tiles,
        walk=source.walk,
        lengths=signature.lengths,
        whole=any("#define WHOLE_" in kernel for kernel in source.kernels),
    )


def _ended(signature: Signature, name: str) -> dict[str, dict[str, str]]:
    """Say of each output, by its parameter, how many parts it has, what a row has in one, and behind its end.

    Raises:
        CompileError: what stands behind the end is another number for units whose axes stand apart.
    """
    sizes, names = _sizes(signature, name), parameters(signature)
    counts = {TIME: "steps"} | {name: name for name in signature.free_sizes}
    found = {}
    for spec in signature.outputs:
        before, behind = spec.shape[: spec.batch_axis], spec.shape[spec.batch_axis + 1 :]
        parts = prod(size for size in before if isinstance(size, int))
        numbers = sizes[names[spec.name]] if parts == 1 else str(units(spec) // parts)
        times = [*([str(parts)] if parts > 1 else []), *(counts[size] for size in before if size in counts)]
        each = [*(counts[size] for size in behind if size in counts), numbers]
        found[names[spec.name]] = {
            "type": C_TYPES[spec.dtype],
            "parts": " * ".join(times) or "1",
            "size": " * ".join(each),
            **_padding(spec),
        }
    return found


def _padding(spec: OutputSpec) -> dict[str, str]:
    """Write what stands behind a row's end, unless that is zero, and where an entry ``i`` finds its own."""
    values = np.asarray(spec.padding, spec.dtype).ravel()
    if spec.time_axis is None or not values.any():
        return {"numbers": "", "where": ""}
    own = [literal(value) if spec.dtype == "float32" else integer(int(value)) for value in values.tolist()]
    behind = [size for size in spec.shape if size != BATCH]
    place = behind.index(TIME)
    if len(own) == 1:
        where = "0"
    elif all(spec.shape.index(size) > spec.batch_axis for size in spec.shape if isinstance(size, int)) and (
        place in (0, len(behind) - 1)
    ):
        last = place and spec.time_axis > spec.batch_axis
        where = f"{'i / steps' if last else 'i'} % {len(own)}"
    else:
        raise CompileError(f"{spec.name} has other numbers for each unit behind the end of a row")
    return {"numbers": ", ".join(own), "where": where}


def _sizes(signature: Signature, name: str) -> dict[str, str]:
    """Name the counts of numbers that a row has of inputs and outputs, by their parameters."""
    alone = {"inputs": "INPUT", "outputs": "OUTPUT"}
    called = {each: alone.get(each, each.upper()) for each in parameters(signature).values()}
    return {each: f"{name.upper()}_{stem}_SIZE" for each, stem in called.items()}


def _leaf(leaf: StateSpec) -> dict[str, Any]:
    """Describe what a leaf of the state begins with: a part for each place of the axes before the batch."""
    kind, value = C_TYPES[leaf.dtype], leaf.initial_value(1)
    parts = prod(int(size) for size in leaf.shape[: leaf.batch_axis])
    return {
        "name": leaf.name,
        "kind": kind,
        "zero": not any(value.tobytes()),
        "parts": parts,
        "size": value.size // parts,
        "words": words(leaf) // parts,
        "numbers": ", ".join(constant_text(number, kind) for number in value.ravel().tolist()),
    }


def _workspaces(floats: Mapping[str, int], name: str) -> dict[str, tuple[str, int]]:
    """Name the floats of the workspace for each row, row and time step, or entry of a context; say which."""
    each = {TIME: "row and time step", BATCH: "row"}
    return {
        f"{name.upper()}{'' if base == TIME else f'_{base.upper()}'}_WORKSPACE_SIZE": (
            each.get(base, f"row and entry of {base}"),
            count,
        )
        for base, count in floats.items()
    }


def _workspace(floats: Mapping[str, int], name: str) -> str:
    """Write how many floats the workspace has; nothing without one."""
    if not floats:
        return ""
    counts = ["steps" if base == TIME else base for base in floats]
    sizes = zip(counts, _workspaces(floats, name), strict=True)
    terms = [size if count == BATCH else f"{count} * {size}" for count, size in sizes]
    if counts == ["steps"]:
        return f"steps * batch * {name.upper()}_WORKSPACE_SIZE"
    return f"batch * {terms[0]}" if len(terms) == 1 else f"batch * ({' + '.join(terms)})"


def _beside(source: Source) -> str:
    """Say what stands in the file of a large model; nothing of another."""
    size = len(source.weights.content())
    if source.kind == FLOAT32:
        return f"{size // 4} numbers" if size else ""
    return f"{size} bytes of weights, the matrices in {source.kind}," if size else ""


def _vocabulary(size: str) -> str:
    """Name the number of token ids of an input, after its size."""
    return size.replace("_INPUT_SIZE", "_SIZE").removesuffix("_SIZE") + "_VOCABULARY_SIZE"


def _header(source: Source, name: str) -> str:
    """Write ``model.h``: every argument with its shape, and the sizes as constants."""
    signature, sizes, names = source.signature, _sizes(source.signature, name), parameters(source.signature)
    ids = [spec for spec in signature.inputs if spec.vocabulary]
    return _template(MODEL_H).render(
        name=name,
        upper=name.upper(),
        version=__version__,
        signature=signature,
        vocabularies={_vocabulary(sizes[names[spec.name]]): spec.vocabulary for spec in ids},
        names=names,
        sizes={sizes[names[spec.name]]: spec for spec in (*signature.inputs, *signature.outputs)},
        numbers=_beside(source),
        state_size=sum(map(words, signature.state)),
        workspaces=_workspaces(source.plan.workspaces, name),
        workspace=_workspace(source.plan.workspaces, name),
        stack=source.plan.room.stack + FRAME,
        small_stack=source.plan.room.small_stack + SMALL_FRAME,
        arguments=_arguments(source),
        padded=any(_padding(spec)["numbers"] for spec in signature.outputs),
    )
