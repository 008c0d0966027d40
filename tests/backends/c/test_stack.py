"""A call takes little stack at every size: what does not fit there stands in the workspace."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnn_export.backends.c.plan import room
from rnn_export.backends.c.plan.buffers import row_length
from rnn_export.backends.c.plan.room import Room
from rnn_export.backends.c.trace.elementwise import FLOAT, INT
from rnn_export.backends.c.trace.graph import Input, Vector
from rnn_export.backends.c.write.model import FRAME
from rnn_export.runtimes.compiler import compiler, entry
from tests.support.c_cells import flat, write_c
from tests.support.c_programs import (
    POISON,
    SANITIZE,
    STRICT,
    as_driver,
    compile_c,
    needs_compiler,
    run_calls,
)

pytestmark = needs_compiler
MOST = 64 << 10  # bytes of stack
SHAPES = ((1, 1), (7, 1), (3, 2), (1, 9), (12, 1), (2, 40), (0, 3))  # time steps, rows


class Sized(nn.Module):
    """``o_t = h_t W_o + b_o``, of several recurrent layers of one kind."""

    def __init__(self, kind: str, inputs: int, units: int, outputs: int, layers: int) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(inputs, units, layers)
        self.out = nn.Linear(units, outputs)

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | Tensor | None = None) -> tuple[Tensor, object]:
        hidden, state = self.recurrent(x, state)
        return self.out(hidden), state


class Words(nn.Module):
    """The same, of token ids."""

    def __init__(self, kind: str, vocabulary: int, units: int, outputs: int, layers: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(vocabulary, units)
        self.net = Sized(kind, units, units, outputs, layers)

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | Tensor | None = None) -> tuple[Tensor, object]:
        found: tuple[Tensor, object] = self.net(self.rows(x), state)
        return found


def sized(kind: str, inputs: int, units: int, outputs: int, layers: int, *, words: bool = False) -> nn.Module:
    """Make a net of known weights."""
    torch.manual_seed(0)
    return (Words if words else Sized)(kind, inputs, units, outputs, layers).eval()


SMALL = {
    "one unit": ("RNN", 1, 1, 1, 1),
    "three units": ("GRU", 3, 3, 7, 2),
    "just on the stack": ("LSTM", 17, 128, 1, 1),
    "just outside": ("LSTM", 17, 257, 7, 1),
    "eight layers": ("GRU", 5, 64, 7, 8),
    "wide outputs": ("RNN", 4, 17, 8192, 1),
    "wide inputs": ("GRU", 4096, 3, 7, 1),
}
LARGE = {
    "17 units, 50,000 outputs": ("LSTM", 64, 17, 50_000, 1),
    "100 units, 8 layers": ("LSTM", 100, 100, 7, 8),
    "1,000 units": ("GRU", 1000, 1000, 1, 1),
    "1,024 units, 3 layers": ("LSTM", 3, 1024, 7, 3),
    "1,024 units, 8 layers": ("RNN", 1, 1024, 7, 8),
    "2,048 units": ("RNN", 4096, 2048, 1, 1),
    "2,048 units, 2 layers": ("RNN", 1, 2048, 7, 2),
}
OF_WORDS = {
    "8,200 words": ("GRU", 8200, 3, 8200, 1),
    "50,000 words": ("GRU", 50_000, 64, 50_000, 2),
    "50,000 words, 1 unit": ("LSTM", 50_000, 1, 50_000, 1),
}
daily = [
    pytest.param(size, False, id=name, marks=[pytest.mark.exhaustive] if name != "one unit" else [])
    for name, size in SMALL.items()
]
exhaustive = [
    pytest.param(size, words, id=name, marks=pytest.mark.exhaustive)
    for sizes, words in ((LARGE, False), (OF_WORDS, True))
    for name, size in sizes.items()
]


def arguments(
    net: nn.Module, size: tuple[str, int, int, int, int], steps: int, rows: int
) -> tuple[object, ...]:
    """Draw what a call of some time steps and rows takes: inputs, and a state that is not zero."""
    kind, inputs, units, _, layers = size
    words = isinstance(net, Words)
    x = torch.randint(0, inputs, (steps, rows)) if words else torch.randn(steps, rows, inputs)
    leaves = [torch.randn(layers, rows, units) / 4 for _ in range(2 if kind == "LSTM" else 1)]
    return x, tuple(leaves) if len(leaves) > 1 else leaves[0]


@pytest.mark.parametrize(("size", "words"), [*daily, *exhaustive])
def test_every_size_runs_in_64_kb_of_stack_and_within_its_arrays(
    size: tuple[str, int, int, int, int], words: bool, tmp_path: Path
) -> None:
    check(size, words, tmp_path)


@pytest.mark.daily
def test_a_small_net_runs_in_a_workspace_as_a_large_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STACK", 0)
    check(("RNN", 3, 3, 7, 1), False, tmp_path)
    assert "BATCH_WORKSPACE" in entry(tmp_path / "model.c").sizes


@pytest.mark.parametrize("size", [1, 17, 255, 257, 1000, 1024, 2048, 8192, 50_000])
@pytest.mark.parametrize("layers", [1, 3, 8])
def test_what_stands_on_the_stack_fits_there_and_buffers_outside_do_not_overlap(
    size: int, layers: int
) -> None:
    def vectors(dtype: str) -> list[Vector]:
        return [Vector(Input(leaf=""), size, dtype, 0) for _ in range(layers)]

    states, sweep = vectors(FLOAT), [*vectors(INT), *vectors(FLOAT)]
    placed = Room(states, [], [sweep, sweep[1:]], [40])
    assert placed.stack + FRAME <= MOST
    assert placed.small_stack <= max(placed.stack, 1)
    assert placed.outside or placed.slots >= room.FEWEST
    ends = [placed.offsets[vector] for vector in (*states, *sweep[1:])][1:]
    taken = [row_length(size) * (placed.few + 1)] * layers + [
        row_length(size) * placed.few * (2 if vector.dtype == INT else 1) for vector in sweep[1:]
    ]
    begun = [placed.offsets[vector] for vector in (*states, *sweep[1:])]
    assert ends == [at + count for at, count in zip(begun, taken, strict=True)][:-1]
    assert begun[-1] + taken[-1] <= placed.behind <= placed.size - 40
    assert placed.size % 16 == 0


def check(size: tuple[str, int, int, int, int], words: bool, tmp_path: Path) -> None:
    """Run calls of a net in a small stack and under the sanitizers, and compare them with eager."""
    net = sized(*size, words=words)
    subject = write_c(net, arguments(net, size, 5, 2), tmp_path)  # type: ignore[arg-type]
    assert entry(tmp_path / "model.c").sizes["STACK"] <= MOST
    driver = tmp_path / "calls.c"
    driver.write_text(in_a_thread(as_driver(tmp_path, subject.signature)))
    sources = [tmp_path / "model.c", driver, "-pthread"]
    calls, wanted = [], []
    for steps, rows in SHAPES:
        given = arguments(net, size, steps, rows)
        with torch.no_grad():
            wanted.append(flat(net(*given)) if steps else [torch.empty(0), *flat(given)[1:]])  # type: ignore[arg-type]
        calls.append(({"time": steps, "batch": rows}, [leaf.numpy() for leaf in flat(given)]))  # type: ignore[arg-type]
    for options in (["-O1", "-march=native", POISON], ["-O1", "-march=native", "-DROOM=8 << 20", *SANITIZE]):
        compile_c(compiler() or [], tmp_path / "calls", *STRICT, *options, f"-I{tmp_path}", *sources)
        program = tmp_path / "driver"
        program.write_text(f"#!/bin/sh\nulimit -s 256\nexec {shlex.quote(str(tmp_path / 'calls'))}\n")
        program.chmod(0o755)
        for want, got in zip(wanted, run_calls(tmp_path, subject.signature, calls), strict=True):
            for one, other in zip(want, got, strict=True):
                np.testing.assert_allclose(other.ravel(), one.numpy().ravel(), rtol=1e-4, atol=1e-4)


def in_a_thread(program: str) -> str:
    """Let ``main`` of a program run in a thread with 128 KB of stack, or ``ROOM`` bytes."""
    renamed = program.replace("int main(void)", "static int calls(void)")
    assert renamed != program
    return f"""#define _GNU_SOURCE
#include <pthread.h>
#ifndef ROOM
#define ROOM 131072
#endif
{renamed}
static void *thread(void *result) {{ *(int *)result = calls(); return NULL; }}
int main(void)
{{
    int result = 9;
    pthread_t id;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) || pthread_attr_setstacksize(&attributes, ROOM)) return 7;
    if (pthread_create(&id, &attributes, thread, &result)) return 8;
    pthread_join(id, NULL);
    return result;
}}
"""
