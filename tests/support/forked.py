"""Many workers of verify for the price of one: each is forked from a process that has imported everything.

A worker is to be a process that has run no model yet; it takes two seconds to import what it needs. This
file, run as a program, imports it once and forks for every request: the worker is the one of the package.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from tests.support.paths import ROOT

PACKAGE = str(ROOT)


class Nursery:
    """Answers what verify asks, each request in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lock = process, threading.Lock()

    def ask(self, request: Mapping[str, Any], room: int, *_: object) -> tuple[bytes, str]:
        """Stand in for :func:`rnn_export.runtimes.process.ask`."""
        with tempfile.NamedTemporaryFile() as answer, self.lock:
            self.process.stdin.write(json.dumps({"request": request, "answer": answer.name}) + "\n")
            self.process.stdin.flush()
            failure = json.loads(self.process.stdout.readline())
            return answer.read(room), failure


@contextmanager
def nursery(**environment: str) -> Iterator[Nursery]:
    """Start the process that all workers are forked from."""
    with subprocess.Popen(
        [sys.executable, "-I", __file__, *filter(None, [PACKAGE, *sys.path])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    ) as process:
        yield Nursery(process)
        process.stdin.close()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a model says is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile("w+") as said, open(asked["answer"], "wb") as answer:
            child = os.fork()
            if not child:
                _answer(asked["request"], answer, said)
            _, status = os.waitpid(child, 0)
            said.seek(0)
            failure = " ".join(said.read().strip().splitlines()[-3:]) if status else ""
        print(json.dumps(failure), file=answers, flush=True)


def _answer(request: dict[str, Any], answer: IO[bytes], said: IO[str]) -> None:
    from rnn_export.runtimes import worker

    code = 1
    os.dup2(said.fileno(), 2)
    os.dup2(answer.fileno(), 1)
    sys.stdin = io.StringIO(json.dumps({**request, "asked_by": os.getppid()}))
    try:
        worker.main()
        code = 0
    except BaseException:  # as a process of its own would end
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    from rnn_export.runtimes import c, onnxruntime, reference, torchscript, worker  # noqa: F401

    _serve()
