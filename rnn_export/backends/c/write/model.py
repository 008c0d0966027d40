"""``model.c`` and ``model.h`` as text, from a Program."""

import re
from dataclasses import dataclass
from math import prod

from rnn_export.backends.c.write.layout import C_TYPES, words
from rnn_export.backends.c.plan.merge import merge
from rnn_export.backends.c.trace.composed import RULES
from rnn_export.backends.c.trace.operators import expand
from rnn_export.backends.c.trace.trace import Tracer, sizes_apart
from rnn_export.backends.c.write.literals import constant_text
from rnn_export.backends.c.write.header import arguments, header, wrapped
from rnn_export.backends.c.write.source import Source, kernel_text
from rnn_export.errors import CompileError
from rnn_export.program.program import Program
from rnn_export.signature.signature import Signature, identifier
from rnn_export.version import __version__

FILE = "model.c"
WEIGHTS = "model.c.weights"


@dataclass(frozen=True)
class Files:
    """The text of both files, and the numbers of a large model, which stand beside them."""

    source: str
    header: str
    weights: bytes


def compile_program(program: Program, signature: Signature, name: str, prefix: str = "") -> Files:
    """Turn a Program into C.

    Args:
        program: the net.
        signature: its call; whether the function takes lengths, too.
        name: what the functions are called after.
        prefix: what the names of the model's parameters begin with in the Program; others have none.

    Raises:
        CompileError: it cannot be done; the message is the reason.
    """
    if signature.dtype != "float32":
        raise CompileError(f"its numbers are {signature.dtype}; C is written for float32")
    program = expand(program)
    first, second, third, fourth = sizes_apart(program)[:4]
    texts = [
        _write(Tracer(program, signature, rows, steps, RULES, prefix), identifier(name))
        for rows, steps in ((first, second), (third, fourth))
    ]
    if texts[0] != texts[1]:
        raise CompileError("the batch or the number of time steps takes part in the arithmetic as a number")
    return texts[0]


def _write(tracer: Tracer, name: str) -> Files:
    net = tracer.run()
    merge(net)
    source = Source(net, tracer.signature)
    return Files(_source(source, name), header(source, name), source.weights.content())


PREAMBLE = """\
#if defined(__GNUC__) || defined(__clang__)
#define INLINE TARGET static inline __attribute__((always_inline, unused))
#define ALIGNED __attribute__((aligned(64)))
#define APART __attribute__((noinline, unused)) /* only the chosen one of several takes its stack */
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#define REPEAT _Pragma("unroll 8")
#pragma clang diagnostic ignored "-Wpass-failed" /* a loop of a single round is none to unroll */
#else
#define UNROLL _Pragma("GCC unroll 16")
#define REPEAT _Pragma("GCC unroll 8")
#pragma GCC diagnostic ignored "-Warray-bounds" /* it cannot know that buffers have room for all rows */
#endif
#else
#define INLINE static inline
#define ALIGNED
#define APART
#define UNROLL
#define REPEAT
#endif
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)"""

VARIANTS = """\
#if defined(PLAIN_LOOPS) || (!defined(__GNUC__) && !defined(__clang__))
#define VARIANT plain /* no vectors: one number at a time */
#define TARGET
#define LANES 1
#define REGISTERS 4
#include FILE_NAME
#elif defined(__AVX512F__)
#define VARIANT avx512
#define TARGET
#define LANES 16
#define REGISTERS 24
#include FILE_NAME
#elif defined(__AVX2__) && defined(__FMA__)
#define VARIANT avx2
#define TARGET
#define LANES 8
#define REGISTERS 12
#include FILE_NAME
#else
#define VARIANT base /* SSE2, NEON or what there is */
#define TARGET
#define LANES 4
#define REGISTERS 8
#include FILE_NAME
#ifdef __x86_64__
#define CHOOSES
#undef VARIANT
#undef TARGET
#undef LANES
#undef REGISTERS
#define VARIANT avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define REGISTERS 12
#include FILE_NAME
#undef VARIANT
#undef TARGET
#undef LANES
#undef REGISTERS
#define VARIANT avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))
#define LANES 16
#define REGISTERS 24
#include FILE_NAME
#endif
#endif"""


def _source(source: Source, name: str) -> str:
    signature = source.signature
    kernels = kernel_text(source.kernels)
    own = [
        "vec",
        "ivec",
        *dict.fromkeys(
            re.findall(r"^INLINE \w+ (\w+)\(", "\n".join([*kernels, *source.functions]), re.MULTILINE)
        ),
    ]
    renamed = [
        f"#define {each} JOIN({each}, VARIANT)" for each in (*own, "walk", "run_row", "run_rows", "run_all")
    ]
    kind = C_TYPES[signature.inputs.dtype]
    return "\n".join(
        [
            f"/* {name}: written by rnn-export {__version__}. model.h says how to call it. */",
            "#ifndef VARIANT",
            '#include "model.h"',
            "#include <string.h>",
            "#if defined(__x86_64__) && defined(__GNUC__) && !defined(PLAIN_LOOPS)",
            "#include <immintrin.h> /* of the compiler; for AVX-512 */",
            "#endif",
            f'#define FILE_NAME "{FILE}" /* this file includes itself, once a processor */',
            "",
            PREAMBLE,
            *renamed,
            f"#define SLOTS {source.plan.slots} /* rows times time steps that are computed together */",
            "",
            "#define FEW 1 /* rows, up to which few time steps are computed together: less to wait for */",
            "",
            "struct call {",
            "    size_t steps, batch;",
            f"    const {kind} *inputs;",
            "    const float *state_in;",
            "    float *outputs, *state_out, *workspace;",
            "    const int64_t *lengths;",
            "};",
            "",
            *source.weights.declarations(name),
            "",
            VARIANTS,
            "",
            *_functions(source, name),
            "",
            "#else /* what is compiled for each kind of processor */",
            "",
            *kernels,
            "",
            *map(wrapped, source.functions),
            "",
            *map(wrapped, source.lines),
            "",
            RUN_LENGTHS if source.signature.lengths else RUN_ALL,
            "#endif",
            "",
        ]
    )


RUNS = ("walk", "run_row", "run_rows", "run_all")
RUN_ALL = """\
/* A row alone has a copy of its own: it waits for nothing but the state. */
APART TARGET static void run_row(const struct call *c, size_t row, size_t steps) { walk(c, row, 1, steps); }

APART TARGET static void run_rows(const struct call *c, size_t row, size_t rows)
{
    walk(c, row, rows, c->steps);
}

APART TARGET static void run_all(const struct call *c)
{
    const size_t blocks = (c->batch + SLOTS - 1) / SLOTS;
    const size_t most = blocks ? (c->batch + blocks - 1) / blocks : 1;
    for (size_t row = 0, rows; row < c->batch; row += rows) {
        rows = c->batch - row < most ? c->batch - row : most;
        if (LANES > 4 && rows == 1)
            run_row(c, row, c->steps);
        else
            run_rows(c, row, rows);
    }
}"""
RUN_LENGTHS = """\
APART TARGET static void run_all(const struct call *c)
{
    for (size_t row = 0; row < c->batch; row++) walk(c, row, 1, (size_t)c->lengths[row]);
}"""


def _functions(source: Source, name: str) -> list[str]:
    signature = source.signature
    workspace = "workspace" if source.plan.workspace else "NULL"
    lengths = "lengths" if signature.lengths else "NULL"
    lines = [
        wrapped(f"void {name}_run({arguments(source)})"),
        "{",
        "    const struct call call = {steps, batch, inputs, state_in, outputs, state_out, "
        f"{workspace}, {lengths}}};",
    ]
    if signature.lengths:
        lines += _zeros(signature)
    lines += [
        "#ifdef CHOOSES",
        '    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&',
        '        __builtin_cpu_supports("avx512dq"))',
        "        JOIN_(run_all, avx512)(&call);",
        '    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))',
        "        JOIN_(run_all, avx2)(&call);",
        "    else",
        "        JOIN_(run_all, base)(&call);",
        "#else",
        "    run_all(&call);",
        "#endif",
        "}",
        "",
        f"void {name}_initial_state(size_t batch, float *state)",
        "{",
        *_initial(source),
        "}",
        "",
        f"const char *{name}_version(void)",
        "{",
        f'    return "{name}, rnn-export {__version__}";',
        "}",
    ]
    return lines


def _zeros(signature: Signature) -> list[str]:
    """Let the outputs of rows that have ended be zero."""
    units = prod(size for size in signature.outputs.shape if isinstance(size, int))
    steps = "" if signature.outputs.time_axis is None else "steps * "
    return [f"    if (steps) memset(outputs, 0, {steps}batch * {units} * sizeof *outputs);"]


def _initial(source: Source) -> list[str]:
    lines = ["    (void)batch, (void)state;"] if not source.signature.state else []
    for leaf in source.signature.state:
        kind = C_TYPES[leaf.dtype]
        value = leaf.initial_value(1)
        front = prod(int(size) for size in leaf.shape[: leaf.batch_axis])
        parts = value.reshape(front, -1)
        size = parts.shape[1]
        texts = ", ".join(constant_text(number, kind) for number in value.ravel().tolist())
        lines += [
            "    {",
            f"        static const {kind} first[{value.size}] = {{{texts}}};",
            f"        for (size_t part = 0; part < {front}; part++)",
            "            for (size_t row = 0; row < batch; row++) {",
            f"                memcpy(state, first + part * {size}, sizeof(first) / {front});",
            f"                state += {words(leaf) // front};",
            "            }",
            "    }",
        ]
    return lines
