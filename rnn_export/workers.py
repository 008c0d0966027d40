"""Ask workers: fresh processes that answer one request each, within limits.

They are forked from one process that has imported :mod:`rnn_export.runtimes.worker`: neither a runtime, nor a
file, nor anything of the model. So Python and numpy start once, not once a worker::

    ask -- request --> worker <-- fork -- worker.serve

A runtime that starts no threads when it is imported may be shared: a second process, forked from the first,
imports it once, and workers for it are forked from that one.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock, Timer
from typing import Any, BinaryIO

from rnn_export.errors import VerificationError

CRASHED = "it crashed"  # what is said of a process that a signal ended
ASKED = {
    getattr(signal, name, None) for name in ("SIGINT", "SIGKILL", "SIGTERM")
}  # somebody else sends these
FORKS = (
    "files are run in processes that are forked, which this system (%s) does not have. Use Linux, or macOS."
)
TIME_LIMIT = 1800.0  # seconds of the processor for one file in one runtime; a file that hangs has failed
PATIENCE = 10  # times as long by the clock: what waits uses no processor, nor does what a busy machine keeps
LAST = 1 << 12  # bytes of what a process said before it ended that are looked at
PACKAGE_PARENT = Path(__file__).resolve().parents[1]
LENGTH = 8  # bytes of the length of a message
NAME = 32  # bytes of a message: a runtime's name, filled up
BOOT = "import sys; sys.path[:0] = {paths!r}; from rnn_export.runtimes.worker import serve; serve()"
GONE = BrokenPipeError, ConnectionResetError  # who is to read has ended


class Worker:
    """A process that is forked for one request, as seen through its pipes."""

    def __init__(self, control: socket.socket, runtime: str) -> None:
        self._told_path = False
        (its_request, request), *outputs = [os.pipe() for _ in range(4)]
        _send(control, runtime, [its_request, *(its_output for _, its_output in outputs)])
        self.request = os.fdopen(request, "wb")
        self.answer, self.errors, self.status = (os.fdopen(output, "rb") for output, _ in outputs)

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
            with suppress(*GONE):
                self.request.write(f"{json.dumps(str(path or ''))}\n".encode())
                self.request.flush()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Workers:
    """The process that workers are forked from; it starts with the first worker, and ends with the block."""

    def __init__(self) -> None:
        self.pid = 0
        self._lock, self._ready = Lock(), dict[str, list[Worker]]()
        self._shared = dict[str, socket.socket]()
        self._asking = ThreadPoolExecutor(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Workers":
        """Make way for the process; a system that cannot fork has none.

        Raises:
            VerificationError: it cannot, as Windows.
        """
        if not (hasattr(os, "fork") and hasattr(socket, "send_fds")):
            raise VerificationError(FORKS % sys.platform)
        self._control, self._far_end = socket.socketpair()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, those that share a runtime, and the workers that were not asked anything."""
        for worker in (worker for ready in self._ready.values() for worker in ready):
            worker.__exit__()
        for control in (*self._shared.values(), self._control, self._far_end):
            control.close()
        if self._process:
            self._process.wait()
        self._asking.shutdown()  # what was asked ends with the process

    def start(
        self, runtimes: Iterable[str], shared: Iterable[str] = (), beside: Mapping[str, str] | None = None
    ) -> None:
        """Start a worker for each of some runtimes, which it imports until :meth:`worker` takes it.

        A runtime that is named several times gets several.
        For a runtime that is shared, start a process that imports it, and forks workers from then on; also
        those of a runtime that stands ``beside`` it, for which most is imported then.
        """
        with self._lock:
            for runtime in shared:
                self._shared[runtime], its = socket.socketpair()
                _send(self._started(), runtime, [its.detach()])
            self._shared |= {name: self._shared[other] for name, other in (beside or {}).items()}
            for runtime in runtimes:
                self._ready.setdefault(runtime, []).append(self._forked(runtime))

    def prepare(self, runtime: str, path: Path) -> None:
        """Let the worker that was started ahead for a runtime prepare a file, if there is one."""
        with self._lock:
            for worker in self._ready.get(runtime, [])[:1]:
                worker.prepare(path)

    def worker(self, runtime: str) -> Worker:
        """Give a worker that has not been asked anything."""
        with self._lock:
            ready = self._ready.get(runtime)
            return ready.pop(0) if ready else self._forked(runtime)

    def ahead(self, request: Mapping[str, Any], limit: int, content: bytes) -> Future[tuple[bytes, str]]:
        """Ask beside what else is done: see :func:`ask`."""
        return self._asking.submit(ask, request, limit, self, content)

    def _forked(self, runtime: str) -> Worker:
        return Worker(self._shared.get(runtime) or self._started(), runtime)

    def _started(self) -> socket.socket:
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
        return self._control


def _send(control: socket.socket, runtime: str, descriptors: list[int]) -> None:
    """Ask for a process that has a runtime, and hand descriptors over to it."""
    with suppress(*GONE):  # then the pipes end, too
        socket.send_fds(control, [runtime.encode().ljust(NAME)], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def ask(request: Mapping[str, Any], limit: int, workers: Workers, content: bytes = b"") -> tuple[bytes, str]:
    """Let a worker answer a request.

    Args:
        request: what :mod:`rnn_export.runtimes.worker` is to do.
        limit: the number of bytes that the answer may have.
        workers: gives the worker.
        content: what goes with the request, if that is no text.

    Returns:
        The answer, and what went wrong if something did.
    """
    with workers.worker(request["runtime"]) as worker:
        timer = Timer(TIME_LIMIT * PATIENCE, worker.kill)
        timer.start()
        with ThreadPoolExecutor(1) as pool:
            errors = pool.submit(_last, worker)
            asked = {**request, "seconds": TIME_LIMIT}
            answer = _answer(worker, json.dumps(asked).encode() + b"\n" + content, limit)
        status = worker.status.readline().decode().strip()
        late = timer.finished.is_set()
        timer.cancel()
    if late:
        return b"", overdue(TIME_LIMIT * PATIENCE)
    if len(answer) > limit:
        return b"", _large(limit)
    if status != "0":
        return b"", _why(status, errors.result(), TIME_LIMIT)
    return answer, ""


class Conversation:
    """A worker that answers one message after another; where one ends it, the next goes to a new one.

    A message, and an answer, is its length in :data:`LENGTH` bytes, and then itself.
    """

    def __init__(self, request: Mapping[str, Any], workers: Workers) -> None:
        """Take what a worker is to do, and who gives it."""
        self._request, self._workers = request, workers
        self._reading = ThreadPoolExecutor(1)
        self._worker: Worker | None = None

    @property
    def pid(self) -> int:
        """The process that answers, or 0 while there is none."""
        return self._worker.pid if self._worker else 0

    def ask(self, message: bytes, limit: int, seconds: float) -> tuple[bytes, str]:
        """Give the answer to a message, and what went wrong if something did.

        ``limit`` is the number of bytes that the answer may have, ``seconds`` what it may take of the
        processor, to which the worker has to keep itself; by the clock it may take :data:`PATIENCE` times it.
        """
        worker = self._worker = self._worker or self._begun()
        timer = Timer(seconds * PATIENCE, worker.kill)
        timer.start()
        with suppress(*GONE):
            worker.request.write(len(message).to_bytes(LENGTH) + message)
            worker.request.flush()
        answer = read_message(worker.answer, limit)
        late = timer.finished.is_set()
        timer.cancel()
        if answer is not None and len(answer) <= limit and not late:
            return answer, ""
        worker.kill()  # it may be alive
        status = worker.status.readline().decode().strip()
        errors = self._errors.result()
        self._end()
        if late:
            return b"", overdue(seconds * PATIENCE)
        return b"", _why(status, errors, seconds) if answer is None else _large(limit)

    def close(self) -> None:
        """End the worker."""
        self._end()
        self._reading.shutdown()

    def _begun(self) -> Worker:
        worker = self._workers.worker(self._request["runtime"]).__enter__()
        worker.prepare(None)
        with suppress(*GONE):
            worker.request.write(json.dumps(self._request).encode() + b"\n")
        self._errors = self._reading.submit(_last, worker)
        return worker

    def _end(self) -> None:
        if self._worker:
            self._worker.kill()
            self._errors.result()
            self._worker.__exit__()
        self._worker = None


def read_message(pipe: BinaryIO, limit: int = sys.maxsize) -> bytes | None:
    """Read a message, up to one byte more than there may be; none if the other end has been closed."""
    length = pipe.read(LENGTH)
    wanted = min(int.from_bytes(length), limit + 1)
    message = pipe.read(wanted) if len(length) == LENGTH else b""
    return message if len(length) == LENGTH and len(message) == wanted else None


def overused(seconds: float) -> str:
    """Say that something used too much of the processor."""
    return f"took more than {seconds:.4g} s of the processor"


def overdue(seconds: float) -> str:
    """Say that something took too long by the clock, though it may have done nothing."""
    waits = "it waits for what does not come, or the machine is very busy"
    return f"took more than {seconds:.4g} s by the clock: {waits}"


def _large(limit: int) -> str:
    return f"gave more than the {limit} bytes that its results have"


def _why(status: str, errors: bytes, seconds: float) -> str:
    """Say how a process ended that might use so many seconds of the processor.

    >>> _why(f"-{signal.SIGXCPU:d}", b"", 60.0)
    'took more than 60 s of the processor'
    """
    if status == f"-{signal.SIGXCPU:d}":
        return overused(seconds)
    last = errors.decode(errors="replace").strip().splitlines()[-3:]
    return f"{ended(status)}: {' '.join(last)}"


def ended(status: str) -> str:
    """Say how a process ended: the number that it gave, or of the signal that ended it.

    >>> ended("1"), ended("-11")
    ('the process ended with status 1', 'the process ended with signal 11 (it crashed)')
    """
    if not status.startswith("-"):
        return f"the process ended with status {status or 'unknown'}"
    asked = status[1:] in {str(int(number)) for number in ASKED if number}
    return f"the process ended with signal {status[1:]} ({'it was killed' if asked else CRASHED})"


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
