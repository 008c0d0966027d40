"""Many workers of verify for the price of one: each is forked from a process that has imported everything.

A worker is to be a process that has run no model yet; it takes two seconds to import what it needs. This
file, run as a program, imports it once and forks for every request: the worker is the one of the package.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from typing import IO, Any

from tests.support.paths import ROOT

PACKAGE = str(ROOT)


class Server:
    """A process that answers each line of JSON with one; it starts with the first, on one thread."""

    def __init__(self, **environment: str) -> None:
        self.environment = {"OMP_NUM_THREADS": "1", **environment}
        self.process: subprocess.Popen[str] | None = None

    def arguments(self) -> list[str]:
        """Give those of Python that start it."""
        raise NotImplementedError

    def answer(self, question: Mapping[str, Any]) -> Any:
        process = self.process = self.process or self._started()
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def close(self) -> None:
        if self.process:
            with self.process as process:
                process.stdin.close()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *self.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
        )


class Nursery(Server):
    """Answers what is asked, each request in a process of its own that is forked from it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def arguments(self) -> list[str]:
        return ["-I", __file__, *filter(None, [PACKAGE, *sys.path])]

    def ask(
        self,
        request: Mapping[str, Any],
        most: int,
        _: object = None,
        content: bytes = b"",
        **environment: str,
    ) -> tuple[bytes, str]:
        """Stand in for :func:`rnn_export.workers.ask`; the environment is that of now, and more."""
        environment = {**os.environ, **self.environment, **environment}
        with tempfile.NamedTemporaryFile() as answer, tempfile.NamedTemporaryFile() as whole, self.lock:
            whole.write(json.dumps(request).encode() + b"\n" + content)
            whole.flush()
            asked = {"request": whole.name, "answer": answer.name, "environment": environment}
            failure = self.answer(asked)
            return (b"" if failure else answer.read(most)), failure


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a model says is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile("w+") as said, open(asked["answer"], "wb") as answer:
            child = os.fork()
            if not child:
                os.environ.clear()
                os.environ.update(asked["environment"])
                _answer(asked["request"], answer, said)
            _, status = os.waitpid(child, 0)
            said.seek(0)
            last = " ".join(said.read().strip().splitlines()[-3:])
        code = os.waitstatus_to_exitcode(status)
        failure = f"{ended(str(code))}: {last}" if code else ""
        print(json.dumps(failure), file=answers, flush=True)


def _answer(request: str, answer: IO[bytes], said: IO[str]) -> None:
    from rnn_export.runtimes import worker

    code = 1
    os.dup2(said.fileno(), 2)
    os.dup2(answer.fileno(), 1)
    try:
        with open(request, "rb") as asked:
            worker.main(asked, os.getppid())
        code = 0
    except SystemExit:
        pass
    except BaseException:  # as a process of its own would end
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    import onnx.reference.ops._op_list  # noqa: F401 - the evaluator does at its first model
    import torch.export.pt2_archive._package
    import torch.onnx._internal.torchscript_exporter.utils  # noqa: F401 - and the exporter at its first module

    from rnn_export.capture.script import loop_to_onnx  # noqa: F401
    from rnn_export.runtimes import c, onnxruntime, reference, torch_export, torchscript, worker  # noqa: F401
    from rnn_export.workers import ended

    _serve()
