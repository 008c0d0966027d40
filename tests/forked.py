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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

PACKAGE = str(Path(__file__).parents[1])


class Nursery:
    """Takes the place of ``subprocess`` in verify."""

    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lock = process, threading.Lock()

    def run(self, line: list[str], *, input: str, cwd: Path, **_: object) -> SimpleNamespace:
        """Let a new process answer a request, as ``subprocess.run`` would."""
        assert line[0] == sys.executable
        with self.lock:
            self.process.stdin.write(json.dumps({"input": input, "cwd": str(cwd)}) + "\n")
            self.process.stdin.flush()
            return SimpleNamespace(**json.loads(self.process.stdout.readline()))


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
        request = json.loads(line)
        with tempfile.TemporaryFile("w+") as said:
            child = os.fork()
            if not child:
                _answer(request, said.fileno())
            _, status = os.waitpid(child, 0)
            said.seek(0)
            answer = {"returncode": os.waitstatus_to_exitcode(status), "stderr": said.read()}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(request: dict[str, str], said: int) -> None:
    from rnn_export.runtimes import worker

    code = 1
    os.dup2(said, 2)
    os.chdir(request["cwd"])
    sys.stdin = io.StringIO(request["input"])
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
