"""What smaller weights give and cost: a step in C, sizes of files, the perplexity of the character model.

    python benchmarks/small_weights.py                     prints the tables
    python benchmarks/small_weights.py --units 512 1024    steps of other nets
    python benchmarks/small_weights.py --write             their section of BENCHMARKS.md

A step is a call of ``model.c`` with one time step of one row, built for this processor and called by a
program in C. The formats take turns, and the fastest turn of each counts: other programs only add to it. The
perplexity is that of the text that training never saw (``scripts/train_char_rnn.py``), in eager PyTorch with
the rounded weights, which is what every file is compared with.
"""

import argparse
import ctypes
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from limits import machine
from native import driver
from sections import OUT, replaced
from torch import Tensor, nn

from rnn_export.backends.c.write.model import Files, compile_program
from rnn_export.backends.onnx import finish
from rnn_export.backends.onnx_weights import with_small_weights
from rnn_export.benchmark.bench import one_core
from rnn_export.capture import step
from rnn_export.models import CharRNN
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.rounded_weights import with_rounded_weights
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.program.small_weights import FLOAT32, FORMATS
from rnn_export.runtimes.c import floats
from rnn_export.runtimes.compiler import build, entry
from rnn_export.signature.sizes import BATCH, TIME

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "scripts"), str(Path(__file__).parent)]
CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
COMMAND, HEADING = "python benchmarks/small_weights.py --write", "Smaller weights"
INPUTS = 16
TURNS, LEAST = 150, 2e-4  # turns of a net, and seconds of a turn
Example = tuple[Tensor, ...]


class Net(nn.Module):
    """A recurrent layer of ``torch.nn`` and one output."""

    def __init__(self, cell: str, units: int) -> None:
        super().__init__()
        self.layer, self.head = CELLS[cell](INPUTS, units), nn.Linear(units, 1)

    def forward(self, inputs: Tensor, state: object = None) -> tuple[Tensor, object]:
        """Run it."""
        outputs, state = self.layer(inputs, state)
        return self.head(outputs), state


def written(model: nn.Module, example: Example, kind: str, folder: Path) -> tuple[Files, int]:
    """Write a net's C to a folder; give it with the size of its ONNX file, in the form of operators."""
    own, _ = with_rounded_weights(model.eval(), example, None, kind)
    subject = find_streaming(inspect_module(own, example))
    stages = optimize(replace(step.capture(subject), signature=subject.signature))
    program = next(stage.program for stage in stages if stage.name == "layers")
    files = compile_program(program, subject.signature, "net", "model.", kind)
    folder.mkdir()
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)
    (folder / "model.c.weights").write_bytes(files.weights)
    forms = forms_of(stages)
    whole = finish(forms.get("operator", program).copy().model, subject.signature, "net", {}, prefix="model.")
    small = whole if kind == FLOAT32 else with_small_weights(whole, kind)[0]
    return files, len(small.SerializeToString())


def seconds(call: ctypes.CDLL, count: int, arrays: list[ctypes.c_void_p]) -> float:
    """Time calls of one step of one row."""
    begin = time.perf_counter()
    call.repeat(ctypes.c_size_t(count), ctypes.c_size_t(1), ctypes.c_size_t(1), *arrays)
    return (time.perf_counter() - begin) / count


def steps(units: list[int], folder: Path) -> Iterator[str]:
    """Give rows that say how long a step of each net takes in each format."""
    yield "| Net | float32, us | bf16 | int8 | bf16: times as fast | int8 |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for count in units:
        for cell in CELLS:
            torch.manual_seed(0)
            model, example = Net(cell, count), (torch.randn(4, 2, INPUTS),)
            libraries = []
            for kind in FORMATS:
                place = folder / f"{cell}_{count}_{kind}"
                written(model, example, kind, place)
                libraries.append(driver(place / "model.c", place))
            best = fastest(libraries, place / "model.c", count)
            times = " | ".join(f"{each * 1e6:.1f}" for each in best)
            faster = " | ".join(f"{best[0] / other:.2f}" for other in best[1:])
            yield f"| {cell} {INPUTS}-{count}-1 | {times} | {faster} |"


def fastest(libraries: list[ctypes.CDLL], source: Path, units: int) -> list[float]:
    """Time each library in turn; give the shortest time of each."""
    room = floats(entry(source).workspaces(()), {TIME: 1, BATCH: 1})
    inputs, state = np.full(INPUTS, 0.1, np.float32), np.zeros(2 * units, np.float32)
    output, after = np.zeros(1, np.float32), np.zeros(2 * units, np.float32)
    given = [inputs, state, output, after, *([np.empty(room, np.float32)] if room else [])]
    arrays = [ctypes.c_void_p(each.ctypes.data) for each in given]
    count = max(1, round(LEAST / seconds(libraries[0], 3, arrays)))
    turns = [[seconds(each, count, arrays) for each in libraries] for _ in range(TURNS)]
    return [min(times) for times in zip(*turns, strict=True)]


def characters(folder: Path) -> Iterator[str]:
    """Give rows with the sizes and the perplexity of the character model in each format."""
    from train_char_rnn import WEIGHTS, build_model, encode, perplexity, read_text  # noqa: PLC0415

    saved = np.load(WEIGHTS)
    vocabulary = str(saved["vocabulary"])
    model = build_model(vocabulary)
    model.load_state_dict(
        {name: torch.from_numpy(saved[name]) for name in saved.files if name != "vocabulary"}
    )
    tokens = encode(read_text()[1], vocabulary)
    example = tokens[:64].view(16, 4), model.begin_state(4, torch.device("cpu"))
    columns = "perplexity | more | model.c, bytes | compiled, its constants | model.onnx | of float32's"
    yield f"| char_rnn | {columns} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    first: list[float] = []
    for kind in FORMATS:
        own, _ = with_rounded_weights(model.eval(), example, None, kind)
        place = folder / f"char_{kind}"
        files, onnx_size = written(model, example, kind, place)
        sizes = [len(files.source), constants(place), onnx_size]
        found = [perplexity(cast(CharRNN, own), tokens), *sizes]
        first = first or found
        shares = ", ".join(f"1/{one / other:.2f}" for one, other in zip(first[1:], found[1:], strict=True))
        listed = " | ".join(f"{size:,}" for size in sizes)
        yield (f"| {kind} | {found[0]:.4f} | {found[0] / first[0] - 1:+.3%} | {listed} | {shares} |")


def constants(folder: Path) -> int:
    """Count the bytes of constants of a compiled ``model.c``: what lies in flash beside the code."""
    build(folder / "model.c", folder / "model.o", "-c")
    content = (folder / "model.o").read_bytes()
    assert content[:4] == b"\x7fELF"
    at, size, count = (int.from_bytes(content[a : a + n], "little") for a, n in ((40, 8), (58, 2), (60, 2)))
    sections = [content[at + size * number :][:size] for number in range(count)]
    names = int.from_bytes(content[62:64], "little")
    start = int.from_bytes(sections[names][24:32], "little")
    total = 0
    for section in sections:
        place = start + int.from_bytes(section[:4], "little")
        name = content[place : content.index(b"\0", place)]
        total += int.from_bytes(section[32:40], "little") if name.startswith(b".rodata") else 0
    return total


def section(tables: list[str]) -> str:
    """Lay out the section of BENCHMARKS.md."""
    return "\n\n".join(
        [
            f"Written by `{COMMAND}`, in one run.",
            f"Machine: {machine()}",
            f"A step in C of one row, in microseconds: the fastest of {TURNS}; the formats take turns.",
            *tables,
            "Asked for are 1.8 (bf16) and 2.5 (int8), at 1024 units. int8 is multiplied as whole numbers\n"
            "where the processor can (AVX512-VNNI); for others see CONTRIBUTING.md, *Known and open*.",
        ]
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--write", action="store_true", help="their section of BENCHMARKS.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, one_core():
        tables = []
        for rows in (characters(Path(scratch)), steps(given.units, Path(scratch))):
            tables.append("\n".join(rows))
            print(f"{tables[-1]}\n", flush=True)
    if given.write:
        OUT.write_text(replaced(OUT.read_text(), HEADING, section(tables)))


if __name__ == "__main__":
    main()
