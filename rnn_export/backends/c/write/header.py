"""``model.h``: how the function is called."""

import textwrap
from math import prod

from rnn_export.backends.c.plan.layout import C_TYPES, words
from rnn_export.backends.c.write.source import Source
from rnn_export.version import __version__

LINE = 110  # characters
FRAME = 32 << 10  # bytes; what GCC and clang use beside the buffers, from -O1 on, as tests measure


def arguments(source: Source) -> str:
    """Write what the function takes."""
    kind = C_TYPES[source.signature.inputs.dtype]
    parts = [
        f"size_t steps, size_t batch, const {kind} *inputs",
        "const float *state_in, float *outputs, float *state_out",
    ]
    if source.plan.workspace:
        parts.append("float *workspace")
    if source.signature.lengths:
        parts.append("const int64_t *lengths")
    return ", ".join(parts)


def wrapped(line: str) -> str:
    """Break a long line of C where an argument ends."""
    wrapper = textwrap.TextWrapper(LINE, break_long_words=False, break_on_hyphens=False)
    wrapper.subsequent_indent = " " * (len(line) - len(line.lstrip()) + 8)
    return wrapper.fill(line)


def _weights(source: Source, name: str) -> list[str]:
    """ProgressCallback where the numbers of a large model stand, and why."""
    count = len(source.weights.content()) // 4
    if not count:
        return []
    return [
        "",
        "",
        f"   {count} numbers stand in model.c.weights; keep it beside model.c. GCC's and clang's assemblers",
        "   take it in as it is (.incbin). As C arrays, ten million numbers are 100 MB of text, for which a",
        f"   compiler needs half a minute and 2 GB. -D{name.upper()}_WEIGHTS='\"PATH\"' names the file where",
        "   it lies elsewhere, or where the compiler is told to change __FILE__. For another compiler, link",
        f"   an object that defines {name}_weights as the file's floats. The file is little-endian.",
    ]


def header(source: Source, name: str) -> str:
    """Write ``model.h``: every argument with its shape, and the sizes as constants."""
    signature = source.signature
    upper = name.upper()
    size = sum(map(words, signature.state))
    leaves = [
        f"     {leaf.name}: {leaf}" + ("; each takes two floats" if leaf.dtype == "int64" else "")
        for leaf in signature.state
    ]
    more = []
    if source.plan.workspace:
        more += [
            f"   workspace   steps * batch * {upper}_WORKSPACE_SIZE floats that one walk over time leaves",
            "               to the next; what it holds before and after does not matter",
        ]
    if signature.lengths:
        more += [
            "   lengths     int64_t[batch]: the time steps of each row, from 0 to steps. Its outputs are",
            "               zero from there on, its new state is that after its own last step",
        ]
    if signature.inputs.dtype == "int64":
        more += ["   A token id that the net does not know counts as none: its part of the sums is zero."]
    constants = [f"#define {upper}_STATE_SIZE {size} /* floats for each row of the batch */"]
    for spec, what in ((signature.inputs, "INPUT"), (signature.outputs, "OUTPUT")):
        units = prod(unit for unit in spec.shape if isinstance(unit, int))
        constants.append(f"#define {upper}_{what}_SIZE {units} /* numbers for each row and time step */")
    if source.plan.workspace:
        constants.append(
            f"#define {upper}_WORKSPACE_SIZE {source.plan.workspace} /* floats for each row and time step */"
        )
    constants.append(
        f"#define {upper}_STACK_SIZE {source.plan.stack() + FRAME} "
        "/* bytes of stack for a call, at the most */"
    )
    state = (
        "not written: this net gives no state"
        if not signature.returns_state
        else "the state after the last time step; it may be state_in"
    )
    whole = (
        [f"\n   Whole sequences only: {signature.not_streamable_because}.".replace("*/", "* /")]
        if signature.not_streamable_because
        else []
    )
    return "\n".join(
        [
            f"/* {name}: a recurrent net as C, written by rnn-export {__version__}.",
            "",
            "   Compile model.c with your program: cc -O2 -march=native model.c yours.c. Without -march, the",
            "   AVX-512 or AVX2 of an x86-64 processor is found at run time. No dependencies, no allocation,",
            "   no locks and no globals that change: any number of threads may call."
            + "\n".join(_weights(source, name))
            + " */",
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            *constants,
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/* Run the net over some time steps; one step is a call with steps = 1.",
            "",
            "   steps       time steps; with none, only the state is written",
            "   batch       rows; each gives the same bits in any batch, and wherever its sequence is cut",
            f"   inputs      {signature.inputs}",
            "   state_in    the leaves of the state one after another:",
            *leaves,
            f"   outputs     {signature.outputs}",
            f"   state_out   {state}",
            *more,
            "   Arrays are dense, the last axis varies fastest, and do not overlap but for the two states.",
            "   Their sizes in bytes have to fit in a size_t." + "".join(whole) + " */",
            wrapped(f"void {name}_run({arguments(source)});"),
            "",
            "/* Write the state that a sequence begins with, for a batch. */",
            f"void {name}_initial_state(size_t batch, float *state);",
            "",
            "/* Name the model, and what wrote it. */",
            f"const char *{name}_version(void);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "#endif",
            "",
        ]
    )
