"""Try mutants one after another in a process that may die of one: it is started again behind that.

A module that is tried so has ``attempt(number)``: it says what became of a mutant that was taken, or raises.
"""

import importlib
import json
import resource
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from time import process_time

from rnn_export.errors import PassError, RnnExportError
from trials import BrokenPromiseError

MEMORY = 16 << 30  # bytes of addresses; PyTorch and ONNX Runtime take three before they do anything
HANGS = 120.0  # seconds without an answer, on a machine that may be busy
ROOT = Path(__file__).resolve().parents[1]
CRASHED, UNTYPED = "crashed", "untyped"


@dataclass(frozen=True)
class Answer:
    """What became of a mutant: taken, refused by a kind of error, or worse; seconds of the processor."""

    number: int
    verdict: str
    seconds: float = 0.0
    detail: str = ""


def tried(name: str, amount: int, limit: float, what: str) -> str:
    """Try so many mutants of the module of a name; give the figures.

    Raises:
        BrokenPromiseError: an error is not one of the package's, one took longer than ``limit`` seconds of
            the processor, or the process died.
    """
    answers = list(_answers(name, amount))
    bad = [answer for answer in answers if answer.verdict in {CRASHED, UNTYPED} or answer.seconds > limit]
    if bad:
        first = bad[0]
        raise BrokenPromiseError(
            f"{len(bad)} of {amount} mutants ({', '.join(str(answer.number) for answer in bad[:20])}): the "
            f"first {first.verdict} after {first.seconds:.2f} s: {first.detail} "
            f"See it again: python -m trials.workers {name} {first.number} {first.number + 1}"
        )
    counts = Counter(answer.verdict for answer in answers).most_common()
    slowest = max(answer.seconds for answer in answers)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts)
    return f"{amount} {what}: {told}; slowest {slowest:.2f} s, no crash"


def _answers(name: str, amount: int) -> Iterator[Answer]:
    number = 0
    while number < amount:
        command = [sys.executable, "-m", "trials.workers", name, str(number), str(amount)]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said)  # noqa: S603
            for answer in _read(process):
                yield answer
                number = answer.number + 1
            if process.returncode or number < amount:
                said.seek(0)
                last = said.read().decode(errors="replace").strip()[-300:]
                yield Answer(number, CRASHED, detail=f"status {process.returncode}: {last}.")
                number += 1


def _read(process: subprocess.Popen[bytes]) -> Iterator[Answer]:
    """Read answers until the process ends; end it if it gives none for long."""
    with process:
        while True:
            timer = Timer(HANGS, process.kill)
            timer.start()
            line = process.stdout.readline() if process.stdout else b""
            timer.cancel()
            if not line.endswith(b"\n"):
                return
            yield Answer(**json.loads(line))


def main(name: str, start: str, stop: str) -> None:
    """Try the mutants from one number to another, and print an answer for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    attempt = importlib.import_module(name).attempt
    for number in range(int(start), int(stop)):
        detail, begun = "", process_time()
        try:
            verdict = attempt(number)
        except PassError:  # which says of itself that it is a bug
            verdict, detail = UNTYPED, traceback.format_exc()
        except RnnExportError as error:
            verdict, detail = type(error).__name__, str(error)
        except Exception:
            verdict, detail = UNTYPED, traceback.format_exc()
        answer = Answer(number, verdict, process_time() - begun, detail)
        print(json.dumps(answer.__dict__), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
