"""Compile the C of an LSTM of ten million parameters: seconds, memory and sizes.

    python benchmarks/large.py              1100 units
    python benchmarks/large.py --units 300

For each compiler that is installed, with the options of ``rnn-export compile``: how long it runs, and how
much memory it or its assembler takes at the most.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from rnn_export.backends.c.write.model import compile_program
from rnn_export.bundle.layout import WEIGHTS
from rnn_export.capture import step
from rnn_export.models import LSTMScratch
from rnn_export.module.reading import inspect_module
from rnn_export.passes.pipeline import optimize
from rnn_export.runtimes.compiler import OPTIONS

MEASURE = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
)


def write(units: int, folder: Path) -> None:
    """Write the net's C, and print what it takes."""
    model = LSTMScratch(units, units, units // 4)
    subject = inspect_module(model, (torch.randn(3, 2, units), model.begin_state(2, torch.device("cpu"))))
    stages = optimize(replace(step.capture(subject), signature=subject.signature))
    program = next(stage.program for stage in stages if stage.name == "layers")
    start = time.perf_counter()
    files = compile_program(program, subject.signature, "large")
    seconds = time.perf_counter() - start
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)
    (folder / WEIGHTS).write_bytes(files.weights)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{count:,} parameters, written in {seconds:.1f} s: model.c has {len(files.source):,} bytes, ", end=""
    )
    print(f"{WEIGHTS} {len(files.weights):,}")


def main() -> None:
    """Write and compile."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=1100)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(parser.parse_args().units, folder)
        target = folder / "large.so"
        for compiler in filter(shutil.which, ("gcc", "clang")):
            options = ["-O3", "-shared", "-fPIC", "-o", str(target)]
            line = [sys.executable, "-c", MEASURE, compiler, *OPTIONS, *options, str(folder / "model.c")]
            start = time.perf_counter()
            done = subprocess.run(line, capture_output=True, text=True, check=True)  # noqa: S603
            seconds, memory = time.perf_counter() - start, done.stdout.strip()
            print(f"{compiler}: {seconds:.1f} s, {memory} MB, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
