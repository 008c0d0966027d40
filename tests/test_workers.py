"""Each request is answered by a process of its own, which ends; what happens in it stays there."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_export import workers as process
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_C
from rnn_export.runtimes import worker
from rnn_export.signature.as_json import to_json
from rnn_export.workers import Workers, ask
from tests.support.paths import ARTIFACTS

pytestmark = pytest.mark.usefixtures("fresh_processes")
BUNDLE = Bundle.open(ARTIFACTS / "rnn_scratch")
LIMIT = worker.largest_answer(BUNDLE.cases)
A_WHILE = 20.0  # seconds, for what takes a fraction of one


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


def request(runtime: str = "onnxruntime", file: str = "model.onnx") -> dict[str, Any]:
    """Ask for what verify asks for."""
    return {
        "task": "verify",
        "folder": str(BUNDLE.folder),
        "files": BUNDLE.manifest.files,
        "file": file,
        "runtime": runtime,
        "signature": to_json(BUNDLE.signature),
        "limits": [60.0, 1.0],
        "parameters": BUNDLE.manifest.model["parameters"],
        "blocked": [],
    }


def runs(pid: int) -> bool:
    """Whether a process is there, and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(done: Callable[[], bool], what: str) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() < begun + A_WHILE, what
        time.sleep(0.02)


def test_all_workers_are_forked_from_one_process_each_once(workers: Workers) -> None:
    with workers.worker("c") as one, workers.worker("c") as other:
        assert len({one.pid, other.pid, workers.pid, os.getpid()}) == 4
        assert {parent(one.pid), parent(other.pid)} == {workers.pid}
        assert parent(workers.pid) == os.getpid()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_that_was_started_ahead_answers(workers: Workers) -> None:
    workers.start(["onnxruntime"])
    answer, failure = ask(request(), LIMIT, workers)
    assert failure == ""
    assert {*worker.read_results(answer, BUNDLE.cases)} > {worker.ERRORS}


def test_a_runtime_beside_a_shared_one_is_forked_from_its_process(workers: Workers) -> None:
    workers.start([], ["torchscript"], {"torch_export": "torchscript"})
    with workers.worker("torchscript") as one, workers.worker("torch_export") as other:
        assert parent(one.pid) == parent(other.pid) != workers.pid


def test_the_process_that_is_forked_has_imported_no_runtime(workers: Workers) -> None:
    """What is loaded before a model is would be loaded in every check of another runtime."""
    with workers.worker("c") as one:
        libraries = Path(f"/proc/{workers.pid}/maps").read_text()
        assert "numpy" in libraries
        assert not [name for name in ("torch", "onnx", "onnxruntime") if f"site-packages/{name}" in libraries]
        assert one.pid


def test_a_worker_that_is_not_asked_ends() -> None:
    with Workers() as workers:
        workers.start(["c", "onnxruntime"])
        with workers.worker("c") as taken:
            pids = [taken.pid, workers.pid]
        assert runs(workers.pid)
    wait_for(lambda: not any(map(runs, pids)), "a worker goes on")
    assert not Path(f"/proc/{workers.pid}/task").exists()


def test_a_worker_that_crashes_leaves_the_others_alone(workers: Workers) -> None:
    workers.start(["onnxruntime"])
    with workers.worker("c") as crashing:
        os.kill(crashing.pid, signal.SIGSEGV)
        assert crashing.status.readline() == b"-11\n"
    assert ask(request(), LIMIT, workers)[1] == ""
    assert ask(request("reference"), LIMIT, workers)[1] == ""


def test_workers_that_end_at_once_are_each_reported(workers: Workers) -> None:
    """Their ends are signalled while others are being reported."""
    for _ in range(5):
        with ExitStack() as stack:
            many = [stack.enter_context(workers.worker("c")) for _ in range(12)]
            for one in many:
                os.kill(one.pid, signal.SIGKILL)
            assert [one.status.readline() for one in many] == [b"-9\n"] * len(many)
    assert ask(request(), LIMIT, workers)[1] == ""


def test_a_crash_is_named_with_its_status(workers: Workers) -> None:
    workers.start(["c"])
    with workers.worker("c") as known:
        pid = known.pid
    assert pid
    answer, failure = ask({**request(), "file": "no_such.onnx"}, LIMIT, workers)
    assert answer == b""
    assert failure.startswith("the process ended with status 1: ")
    assert "no_such.onnx" in failure


def test_what_hangs_is_ended(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TIME_LIMIT", 0.05)
    workers.start(["torchscript"])  # takes longer to import
    failure = (
        "took more than 0.5 s by the clock: it waits for what does not come, or the machine is very busy"
    )
    assert ask(request("torchscript", "model.pt"), LIMIT, workers) == (b"", failure)


def test_an_answer_that_is_too_long_is_not_read(workers: Workers) -> None:
    answer, failure = ask(request(), 100, workers)
    assert (answer, failure) == (b"", "gave more than the 100 bytes that its results have")


def test_workers_end_when_who_asked_is_gone() -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        workers = Workers().__enter__()
        workers.start(["c"])
        with workers.worker("c") as waiting:
            os.write(write, json.dumps([workers.pid, waiting.pid]).encode() + b"\n")
            time.sleep(A_WHILE)
        os._exit(1)
    with os.fdopen(read) as pipe:
        pids = json.loads(pipe.readline())
    assert all(map(runs, pids))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(write)
    wait_for(lambda: not any(map(runs, pids)), "a worker goes on")


def test_a_process_that_cannot_start_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "BOOT", "raise SystemExit({paths!r} and 3)")
    with Workers() as workers:
        assert ask(request(), LIMIT, workers) == (b"", "the process ended with status unknown: ")


def test_results_are_those_of_this_process(workers: Workers) -> None:
    answer, _ = ask(request("reference"), LIMIT, workers)
    results = worker.read_results(answer, BUNDLE.cases)
    case = BUNDLE.cases[0]
    np.testing.assert_allclose(results[f"{case.name}/whole/0"], case.float64[0], rtol=1e-4, atol=1e-5)


def test_an_end_that_is_signalled_while_another_is_reported_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = subprocess.Popen(["true"])
    wait_for(lambda: not runs(ended.pid), "it goes on")
    read, write = os.pipe()
    statuses = {ended.pid: write}
    right = worker._write_number

    def interrupted(descriptor: int, number: int) -> None:
        worker._report(statuses)  # as the next signal does
        right(descriptor, number)

    monkeypatch.setattr(worker, "_write_number", interrupted)
    worker._report(statuses)
    ended.wait()
    with os.fdopen(read) as pipe:
        assert pipe.read() == "0\n"
    assert statuses == {}


def test_what_is_prepared_ahead_is_built_once(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    workers.start(["c"])
    workers.prepare("c", BUNDLE.folder / MODEL_C)
    wait_for(lambda: bool(libraries(tmp_path)), "nothing is built")
    [built] = libraries(tmp_path)
    when = built.stat().st_mtime_ns
    assert ask(request("c", MODEL_C), LIMIT, workers)[1] == ""
    assert libraries(tmp_path) == [built]
    assert built.stat().st_mtime_ns == when


def libraries(cache: Path) -> list[Path]:
    return list(cache.glob("rnn_export/*.so"))


def test_what_cannot_be_prepared_is_reported_when_it_is_asked_for(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "false")
    workers.start(["c"])
    workers.prepare("c", BUNDLE.folder / MODEL_C)
    answer, failure = ask(request("c", MODEL_C), LIMIT, workers)
    assert failure == ""
    assert "failed" in str(worker.read_results(answer, BUNDLE.cases)[worker.BROKEN])


def test_what_is_prepared_ends_when_who_asked_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep {A_WHILE}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    child = os.fork()
    if not child:
        workers = Workers().__enter__()
        workers.start(["c"])
        workers.prepare("c", BUNDLE.folder / MODEL_C)
        time.sleep(A_WHILE)
        os._exit(1)
    number = tmp_path / "pid"
    wait_for(lambda: number.exists() and bool(number.read_text()), "no compiler runs")
    pid = int(number.read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: not runs(pid), "the compiler goes on")
