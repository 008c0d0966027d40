"""A fresh process that loads one file and runs all golden vectors, without the model's source.

:mod:`rnn_export.workers` starts a process that serves, as ``python -I``; that forks a worker for each
request. A worker reads the request in JSON on standard input, a line, and what goes with it, and gives the
results on standard output, as an ``.npz`` file: there is no disk that could be full, and nothing is left
behind by who is killed. All of them end when the process that asked is gone.

Two other tasks are known: to export a loop (:mod:`rnn_export.capture.script.loop_to_onnx`), and to run ONNX
models of others until nobody asks any more (:mod:`rnn_export.runtimes.model_runs`).
"""

import gc
import io
import json
import os
import signal
import socket
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from rnn_export.bundle import golden
from rnn_export.bundle.golden import Case
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.bundle.untrusted import schema
from rnn_export.bundle.untrusted.files import Files
from rnn_export.errors import BuildError, BundleError, RuntimeUnavailableError, mismatch
from rnn_export.garbage import uncollected
from rnn_export.runtimes import empty_calls, ending, model_runs, which_calls
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.as_json import from_json
from rnn_export.signature.signature import Call, Signature, pieces
from rnn_export.signature.tensors import Array
from rnn_export.workers import NAME

FAILURES = 1 << 26  # bytes, for the messages of cases that failed
HEADER = 1 << 10  # bytes of an array's own description, and of its place in the archive
ERRORS = "errors"  # the key, in the results, of a JSON object of what failed
EMPTY = "empty"  # the key of what is wrong with calls without a time step or a row
UNAVAILABLE = "unavailable"  # the only key, if the runtime cannot run the file
BROKEN = "broken"  # the only key, if the file cannot be built
FAULT = "fault"  # the only key, if the system is at fault: a full disk, a folder that is gone


class Blocked(MetaPathFinder):
    """Makes the modules that define the net, and what is inside them, impossible to import."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse the model's source; leave the rest to the other finders."""
        if any(name == blocked or name.startswith(f"{blocked}.") for blocked in self.names):
            raise ImportError(f"{name} holds the model's source, which a saved file must not need")


def run(call: Call, case: Case, mode: str, signature: Signature) -> list[Array]:
    """Run a case whole, or cut with the state handed from piece to piece."""
    if mode != "cut":
        return call(*case.arguments)
    parts: list[list[Array]] = []
    state, count = list(case.state), len(signature.outputs)
    for piece in pieces(case.time):
        lengths = [] if case.lengths is None else [within(case.lengths, piece)]
        results = call(*signature.cut(case.inputs, piece), *state, *lengths)
        part, state = results[:count], results[count:]
        for place, spec in enumerate(signature.outputs):
            if spec.time_axis is None and lengths and parts:  # a row that had ended stays as it was
                going_on = np.expand_dims(lengths[0] > 0, spec.other_axes)
                part[place] = np.where(going_on, part[place], parts[-1][place])
        parts.append(part)
    return [*signature.joined(parts), *state]


def within(lengths: Array, piece: slice) -> Array:
    """Give the number of time steps that each row has within a piece.

    >>> within(np.array([0, 4, 9]), slice(3, 7))
    array([0, 1, 4])
    """
    own: Array = np.clip(lengths - piece.start, 0, piece.stop - piece.start)
    return own


def check_results(arrays: Sequence[Array], case: Case) -> None:
    """Check that results have the shapes that were asked for: what is larger is not handed on.

    Raises:
        BundleError: one has another shape.
    """
    found = [np.shape(array) for array in arrays]
    expected = [array.shape for array in case.float64]
    if found != expected:
        raise BundleError(mismatch("results of the file", expected, found, "Export the bundle again."))


def farthest(every: Sequence[Sequence[Array]], right: Sequence[Array]) -> list[Array]:
    """Give of each number, of those that a file's variants have for it, the one that is farthest from right.

    >>> farthest([[np.array([1.0, 2.0])], [np.array([1.5, np.nan])]], [np.array([1.0, 2.0])])
    [array([1.5, nan])]
    """
    if len(every) == 1:
        return list(every[0])
    found = []
    for exact, *arrays in zip(right, *every, strict=True):
        several = np.stack(arrays)
        with np.errstate(invalid="ignore"):
            distance = np.abs(several.astype(np.float64) - exact)
        same = (several == exact) | (np.isnan(several) & np.isnan(exact))
        distance = np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))
        worst = np.argmax(distance, 0, keepdims=True)
        found.append(np.take_along_axis(several, worst, 0)[0])
    return found


def largest_answer(cases: Sequence[Case]) -> int:
    """Give the number of bytes that results may have: whole and cut, and the messages of failures."""
    return FAILURES + 2 * sum(array.nbytes + HEADER for case in cases for array in case.float64)


def read_results(answer: bytes, cases: Sequence[Case]) -> dict[str, Array]:
    """Read what a process gave, which by then may have been any program.

    Raises:
        BundleError: it is no archive of arrays, or larger than what was asked for.
    """
    most = largest_answer(cases)
    try:
        with zipfile.ZipFile(io.BytesIO(answer)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > most:
            raise BundleError(mismatch("the results", f"at most {most} bytes", size, "The file is odd."))
        with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
            results = dict(arrays)
        if not {UNAVAILABLE, BROKEN, FAULT} & set(results):
            schema.typed(json.loads(str(results[ERRORS])), dict[str, str], "the results")
    except (ValueError, KeyError, EOFError, MemoryError, RecursionError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"the process gave no results that can be read: {error!r}. Run it again."
        ) from error
    return results


def serve() -> None:
    """Fork what is asked for on standard input, until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a word
    _serve(socket.socket(fileno=os.dup(sys.stdin.fileno())))


def _serve(control: socket.socket) -> None:
    """Fork a process for each message, which is the name of a runtime.

    Descriptors come with a message. One is that of a socket: the process imports the runtime, and serves
    there. Four are a worker's: its standard input, output and error, and where to write which process it is
    and, in the next line, with what status it ended.
    """
    statuses = dict[int, int]()
    signal.signal(signal.SIGCHLD, lambda *_: _report(statuses))
    gc.freeze()  # a worker that collected garbage here would copy all memory
    while True:
        message, descriptors, *_ = socket.recv_fds(control, NAME, 4)
        if not message:
            return
        runtime, parent = message.decode().strip(), os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until it is known whose end that is
        child = os.fork()
        if not child:
            for descriptor in (control.detach(), *descriptors[3:], *statuses.values()):
                os.close(descriptor)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            if len(descriptors) == 1:
                _share(runtime, socket.socket(fileno=descriptors.pop()))
            _work(runtime, parent, *descriptors[:3])
        if len(descriptors) == 4:
            statuses[child] = descriptors.pop()
            _write_number(statuses[child], child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for descriptor in descriptors:
            os.close(descriptor)


def _share(runtime: str, control: socket.socket) -> NoReturn:
    """Be a process that has a runtime, and from which workers for it are forked."""
    with suppress(Exception):  # what fails here fails again in a worker, and is reported
        _load(runtime)
    _serve(control)
    os._exit(0)


def _load(runtime: str) -> None:
    """Import a runtime."""
    with uncollected():
        RUNTIMES[runtime].load()
        gc.freeze()  # what is imported stays


def _report(statuses: dict[int, int]) -> None:
    """Write with what status workers have ended, and forget them.

    A signal may come while another one is handled here: whoever waits for a worker first reports it.
    """
    for child in list(statuses):
        with suppress(ChildProcessError):  # reported meanwhile
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                descriptor = statuses.pop(child)
                _write_number(descriptor, os.waitstatus_to_exitcode(status))
                os.close(descriptor)


def _write_number(descriptor: int, number: int) -> None:
    with suppress(BrokenPipeError):  # who asked has gone
        os.write(descriptor, f"{number}\n".encode())


def _work(runtime: str, parent: int, request: int, answer: int, errors: int) -> NoReturn:
    """Be a worker: import a runtime, prepare the file of the first line, await the request."""
    for descriptor, standard in ((request, 0), (errors, 1), (errors, 2)):
        os.dup2(descriptor, standard)
    _load(runtime)
    if path := json.loads(sys.stdin.buffer.readline() or '""'):
        _prepare(runtime, Path(path), parent)
    os.dup2(answer, 1)
    for descriptor in (request, answer, errors):
        os.close(descriptor)
    main(sys.stdin.buffer, parent)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take Python and the runtime apart first takes as long as a check


def _prepare(runtime: str, path: Path, parent: int) -> None:
    """Do ahead what a runtime can of its work with a file; what fails here fails again when it is asked."""
    ending.watch(parent)
    with suppress(Exception):
        RUNTIMES[runtime].prepare(path)


def main(asked: BinaryIO, parent: int) -> None:
    """Answer a request, if there is one, for the process ``parent``."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a model prints is no part of the answer
    if not (line := asked.readline()):
        return
    request: dict[str, Any] = json.loads(line)
    ending.watch(parent)
    if "seconds" in request:
        ending.at_most(request["seconds"])
    sys.meta_path.insert(0, Blocked(request["blocked"]))
    try:
        for found in TASKS[request["task"]](request, asked):
            answer.write(found)
            answer.flush()
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(1) from error
    answer.close()


def _export_loop(request: dict[str, Any], content: BinaryIO) -> Iterator[bytes]:
    exporter = import_module("rnn_export.capture.script.loop_to_onnx")  # and with it PyTorch
    yield exporter.export(request["options"], content.read())


def _verify(request: dict[str, Any], _: BinaryIO) -> Iterator[memoryview]:
    results = io.BytesIO()
    np.savez(results, **_results(request))
    yield results.getbuffer()


TASKS: dict[str, Callable[[dict[str, Any], BinaryIO], Iterator[bytes | memoryview]]] = {
    "verify": _verify,
    "export_loop": _export_loop,
    "run_models": model_runs.answers,
}


def _results(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return _run_all(request)
    except RuntimeUnavailableError as error:
        return {UNAVAILABLE: str(error)}
    except BuildError as error:
        return {BROKEN: str(error)}
    except BundleError as error:
        if getattr(error.__cause__, "errno", None) is None:
            raise  # the file is at fault
        return {FAULT: str(error)}
    except OSError as error:
        if error.errno is None:  # the loader's, about what is in a file
            raise
        return {FAULT: str(error)}


def _run_all(request: dict[str, Any]) -> dict[str, Any]:
    """Load the file, and run all cases, some of them again: see :mod:`rnn_export.runtimes.which_calls`."""
    folder, file, signature = Path(request["folder"]), request["file"], from_json(request["signature"])
    files = Files(folder, request["files"])
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    runtime = RUNTIMES[request["runtime"]]
    run_limit, step_limit = request["limits"]

    def at_most(steps: int) -> float:
        return float(run_limit + step_limit * steps)

    calls = runtime.calls(folder, file, signature, files.read)
    cases = golden.read(folder, signature, files.read).cases
    variants = which_calls.answering(calls, cases, request["parameters"])
    for case in (*cases, *which_calls.again(cases, request["parameters"])):
        for mode in which_calls.modes(file, case.kind) if case.time <= runtime.reach(file) else ():
            if mode == "cut" and not signature.streamable:
                continue
            keys = [f"{case.name}/{mode}/{k}" for k in range(len(case.float64))]
            try:
                with ending.within(at_most(case.time), f"{case.name}/{mode}"):
                    every = [run(call, case, mode, signature) for call in variants[case.name]]
                for arrays in every:
                    check_results(arrays, case)
                every = [case.kept(arrays) for arrays in every]
            except Exception as error:  # whatever a runtime raises is a finding of this case
                reason = traceback.format_exception_only(error)
                errors[f"{case.name}/{mode}"] = "".join(reason).strip()
                continue
            before = [[results[key] for key in keys]] if keys[0] in results else []
            results.update(zip(keys, farthest([*before, *every], case.float64), strict=True))
    with ending.within(at_most(0), "a call without a time step or a row"):
        answers = runtime.answers_empty and file != STEP_ONNX
        faults = [empty_calls.fault(call, signature, answers=answers) for call in calls]
    return {**results, ERRORS: json.dumps(errors), EMPTY: next(filter(None, faults), "")}
