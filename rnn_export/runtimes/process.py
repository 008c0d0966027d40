"""Ask workers: fresh processes that answer one request each, within limits.

They are forked from one process that has imported :mod:`rnn_export.runtimes.worker`: neither a runtime, nor a
file, nor anything of the model. So Python and numpy start once, not once a worker::

    ask -- request --> worker <-- fork -- worker.serve
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock, Timer
from typing import Any

TIME_LIMIT = 1800.0  # seconds for one file in one runtime; a file that hangs has failed
LAST = 1 << 12  # bytes of what a process said before it ended that are looked at
PACKAGE_PARENT = Path(__file__).resolve().parents[2]
BOOT = "import sys; sys.path[:0] = {paths!r}; from rnn_export.runtimes.worker import serve; serve()"
GONE = BrokenPipeError, ConnectionResetError  # who is to read has ended


class Worker:
    """A process that is forked for one request, as seen through its pipes."""

    def __init__(self, control: socket.socket, runtime: str) -> None:
        self._told_path = False
        (its_request, request), *outputs = [os.pipe() for _ in range(4)]
        its = [its_request, *(its_output for _, its_output in outputs)]
        with suppress(*GONE):  # then the pipes end, too
            socket.send_fds(control, [b"\0"], its)
        for descriptor in its:
            os.close(descriptor)
        self.request = os.fdopen(request, "wb")
        self.answer, self.errors, self.status = (os.fdopen(output, "rb") for output, _ in outputs)
        self._tell(runtime)

    def __enter__(self) -> "Worker":
        """Wait until it has been forked."""
        self.pid = int(self.status.readline() or 0)
        return self

    def __exit__(self, *_: object) -> None:
        """Close its pipes. A worker that waits for its request ends then."""
        for pipe in (self.request, self.answer, self.errors, self.status):
            with suppress(*GONE):
                pipe.close()

    def prepare(self, path: Path | None) -> None:
        """Let it prepare a file, or none, before it reads its request: once."""
        if not self._told_path:
            self._told_path = True
            self._tell(json.dumps(str(path or "")))

    def _tell(self, line: str) -> None:
        with suppress(*GONE):
            self.request.write(f"{line}\n".encode())
            self.request.flush()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Workers:
    """The process that workers are forked from; it starts with the first worker, and ends with the block."""

    def __init__(self) -> None:
        self.pid = 0
        self._lock, self._ready = Lock(), dict[str, Worker]()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Workers":
        self._control, self._far_end = socket.socketpair()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, and the workers that were not asked anything."""
        for worker in self._ready.values():
            worker.__exit__()
        self._control.close()
        self._far_end.close()
        if self._process:
            self._process.wait()

    def start(self, runtimes: Iterable[str]) -> None:
        """Start a worker for each of some runtimes, which it imports until :meth:`worker` takes it."""
        with self._lock:
            self._ready |= {runtime: self._forked(runtime) for runtime in runtimes}

    def prepare(self, runtime: str, path: Path) -> None:
        """Let the worker that was started ahead for a runtime prepare a file, if there is one."""
        with self._lock:
            if worker := self._ready.get(runtime):
                worker.prepare(path)

    def worker(self, runtime: str) -> Worker:
        """Give a worker that has not been asked anything."""
        with self._lock:
            return self._ready.pop(runtime, None) or self._forked(runtime)

    def _forked(self, runtime: str) -> Worker:
        if not self._process:
            paths = [str(PACKAGE_PARENT), *filter(None, sys.path)]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-c", BOOT.format(paths=paths)],
                stdin=self._far_end.fileno(),
                cwd=PACKAGE_PARENT.anchor,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            self._far_end.close()
            self.pid = self._process.pid
        return Worker(self._control, runtime)


def ask(request: Mapping[str, Any], limit: int, workers: Workers) -> tuple[bytes, str]:
    """Let a worker answer a request.

    Args:
        request: what :mod:`rnn_export.runtimes.worker` is to do.
        limit: the number of bytes that the answer may have.
        workers: gives the worker.

    Returns:
        The answer, and what went wrong if something did.
    """
    with workers.worker(request["runtime"]) as worker:
        timer = Timer(TIME_LIMIT, worker.kill)
        timer.start()
        with ThreadPoolExecutor(1) as pool:
            errors = pool.submit(_last, worker)
            answer = _answer(worker, json.dumps({**request, "asked_by": workers.pid}).encode(), limit)
        status = worker.status.readline().decode().strip()
        late = timer.finished.is_set()
        timer.cancel()
    if late:
        return b"", f"did not finish within {TIME_LIMIT:.0f} s"
    if len(answer) > limit:
        return b"", f"gave more than the {limit} bytes that its results have"
    if status != "0":
        last = errors.result().decode(errors="replace").strip().splitlines()[-3:]
        return b"", f"the process ended with status {status or 'unknown'}: {' '.join(last)}"
    return answer, ""


def _answer(worker: Worker, request: bytes, limit: int) -> bytes:
    """Give a worker its request, and read what it gives, up to one byte more than there may be."""
    worker.prepare(None)
    with suppress(*GONE), worker.request as pipe:  # it ended before it had read all
        pipe.write(request)
    answer = worker.answer.read(limit + 1)
    if len(answer) > limit:
        worker.kill()
    return answer


def _last(worker: Worker) -> bytes:
    """Read what a worker prints, and keep the last of it: no model may fill the memory of this process."""
    kept = b""
    while part := os.read(worker.errors.fileno(), LAST):
        kept = (kept + part)[-LAST:]
    return kept
