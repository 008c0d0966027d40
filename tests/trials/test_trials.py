"""The promises of SECURITY.md, tried for a short while; ``python -m trials`` tries them for long."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import sleep

import pytest

from rnn_export.bundle.bundle import Bundle
from rnn_export.runtimes.table import Runner
from rnn_export.signature.tensors import Array
from trials import TRIALS, BrokenPromiseError, Trial, shapes, threads
from trials.bundles import ARTIFACTS


@pytest.mark.exhaustive
@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS)
def test_a_promise_holds(trial: Trial, figure: Callable[[str], None]) -> None:
    figure(f"{trial.name}: {trial.run(trial.short)}")


def test_memory_that_grows_is_found() -> None:
    kept, random = [], Random(0)

    def calls(keep: bool) -> Iterator[int]:
        while True:
            block = random.randbytes(random.randrange(1, 200_000))
            if keep:
                kept.append(block)
            yield 1

    flat, leak = (shapes.growth(shapes.watch(calls(keep), 2)) for keep in (False, True))
    assert flat.bytes <= flat.allowed
    assert leak.bytes > leak.allowed
    assert 50_000 < leak.slope < 200_000
    assert "KB for 1000 calls" in str(leak)


def test_an_answer_to_another_thread_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that keeps a buffer of its own, as is easily done."""
    load = threads.rnn_export.load

    def keeping(folder: Path, runtime: str) -> Runner:
        right, kept = load(folder, runtime), []

        def call(*arguments: Array) -> list[Array]:
            kept[:] = arguments
            sleep(1e-4)  # as long as other threads may take their turn
            return right._call(*kept)

        return Runner(call, right.signature, "a wrong file", right.__reduce__())

    monkeypatch.setattr(threads.rnn_export, "load", keeping)
    monkeypatch.setattr(threads, "bundles", lambda: [Bundle.open(ARTIFACTS / "rnn_scratch")])
    with pytest.raises(BrokenPromiseError, match=r"of onnxruntime \(rnn_scratch\) to 8 threads are not"):
        threads.run(10)


def test_memory_that_grows_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [{"calls": n, "steps": n, "bytes": 10**8 + n * 10**6} for n in range(60)]
    done = subprocess.CompletedProcess([], 0, json.dumps(moments), "")
    monkeypatch.setattr(shapes, "bundles", list)
    monkeypatch.setattr(shapes.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(BrokenPromiseError, match=r"memory grows: 59 calls, .* 1e\+06 KB for 1000 calls"):
        shapes.run(1)
    done.returncode, done.stderr = 1, "killed"
    with pytest.raises(BrokenPromiseError, match="ended with 1: killed"):
        shapes.run(1)
