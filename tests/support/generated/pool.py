"""Judge recipes one after another, each in a process forked from one that has imported everything.

    python -m tests.support.generated.pool KIND NUMBER...    # prints the module's text and what became of it

A recipe that hangs or crashes costs its own process; the next one is judged all the same.
"""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from select import select
from typing import IO

from tests.support.forked import Nursery, Server
from tests.support.generated.recipe import Recipe, recipe
from tests.support.generated.source import source

SECONDS = 120.0  # for one recipe, on a machine that may be busy


class Pool(Server):
    """A process that judges."""

    def __init__(self) -> None:
        super().__init__(CFLAGS="-O0")

    def arguments(self) -> list[str]:
        return ["-m", "tests.support.generated.pool"]

    def judge(self, recipe: Recipe) -> dict[str, str]:
        """Give ``{"recipe": ..., "outcome": ..., "detail": ...}``."""
        answer: dict[str, str] = self.answer(asdict(recipe))
        return answer


def _serve() -> None:
    """Answer each line of the standard input with one line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a model prints is no answer
    nursery = _prepared()
    for line in sys.stdin:
        answer, whole = _forked(Recipe.read(json.loads(line)))
        if not whole:  # a worker may have been waiting to be answered
            if nursery.process:
                nursery.process.kill()
            nursery.close()
            nursery = _prepared()
        print(json.dumps(answer), file=answers, flush=True)
    nursery.close()


def _prepared() -> Nursery:
    """Import what an export needs, and do once what every export does, as for the other tests."""
    import torch
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    from rnn_export import workers
    from rnn_export.program.quiet import quiet
    from tests.support.generated import check  # noqa: F401

    nursery = Nursery()
    workers.ask = nursery.ask
    workers.Workers.start = lambda *_: None
    registry = cache(ONNXRegistry.from_torchlib)
    ONNXRegistry.from_torchlib = staticmethod(registry)
    torch.set_num_threads(1)
    with quiet():
        traced = torch.export.export(torch.nn.Linear(1, 1), (torch.zeros(1, 1),))
        traced = traced.run_decompositions(torch.export.default_decompositions())
        torch.onnx.export(traced, dynamo=True, verbose=False)
    return nursery


def _forked(recipe: Recipe) -> tuple[dict[str, str], bool]:
    """Judge a recipe in a child; whether it came to its end."""
    made = {"recipe": str(recipe)}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _child(recipe, Path(folder), os.fdopen(writing, "w"), said)
        os.close(writing)
        with os.fdopen(reading) as answer:
            late = not select([answer], [], [], SECONDS)[0]
            if late:
                os.kill(child, 9)
            text = answer.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        last = " ".join(said.read().strip().splitlines()[-3:])
    if late:
        return made | {"outcome": "untyped", "detail": f"did not end within {SECONDS:.0f} s"}, False
    if code or not text:
        return made | {"outcome": "untyped", "detail": f"the process ended with {code}: {last}"}, False
    return made | json.loads(text), True


def _child(recipe: Recipe, folder: Path, answer: IO[str], said: IO[str]) -> None:
    from rnn_export.verification import grid
    from tests.support.generated.check import judged
    from tests.support.near import NEAR

    code = 1
    if not recipe.long:
        grid.FAR = NEAR
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    try:
        verdict = judged(recipe, folder)
        json.dump({"outcome": verdict.outcome, "detail": verdict.detail}, answer)
        answer.close()
        code = 0
    except BaseException:  # an error of the generator
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _shown(kind: str, numbers: Sequence[str]) -> Iterator[str]:
    pool = Pool()
    for made in (recipe(kind, int(number)) for number in numbers):
        yield source(made)
        yield json.dumps(pool.judge(made), indent=1)
    pool.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        for text in _shown(sys.argv[1], sys.argv[2:]):
            print(text)  # noqa: T201
    else:
        _serve()
