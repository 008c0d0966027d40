"""Threads share the rows of a batch, and a result has the bits that it has in one thread."""

import ctypes
import os
import pickle
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.backends.c.write.model import compile_program
from rnn_export.errors import BundleError, InputError
from rnn_export.runtimes import c
from rnn_export.runtimes.compiler import entry
from rnn_export.runtimes.row_threads import TRIALS, RowThreads
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array
from tests.support.c_cells import captured
from tests.support.c_programs import needs_compiler
from tests.support.cases import ModelCase, sample
from tests.support.exports import Exported
from tests.support.pair_nets import PAIR_NETS, PairNet
from tests.support.time_nets import TIME_NETS, TimeNet

BATCHES = (1, 2, 5, 37)
THREADS = (1, 2, 3)
NETS: dict[str, TimeNet | PairNet] = {**TIME_NETS, **PAIR_NETS}
pytestmark = needs_compiler


def lengths_net(folder: Path) -> tuple[Signature, Callable[[int, int], list[Array]]]:
    """Write a GRU that takes lengths, as C; give its call and what draws the arguments of one."""
    subject, program = captured(nn.GRU(3, 5), (torch.randn(4, 2, 3), torch.randn(1, 2, 5)))
    signature = replace(subject.signature, lengths=True)
    files = compile_program(program, signature, "net")
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)

    def draw(steps: int, batch: int) -> list[Array]:
        random = np.random.default_rng((steps, batch))
        arrays = [
            random.standard_normal(shape).astype(np.float32) for shape in ((steps, batch, 3), (1, batch, 5))
        ]
        return [*arrays, random.integers(0, steps + 1, batch)]

    return signature, draw


def assert_same_bits(folder: Path, signature: Signature, draw: Callable[[int, int], list[Array]]) -> None:
    calls = [c.start(folder / "model.c", signature, threads=threads) for threads in THREADS]
    for batch in BATCHES:
        arguments = draw(signature.least + 6, batch)
        want, *others = ([each.tobytes() for each in call(*arguments)] for call in calls)
        assert others == [want] * len(others), batch


@pytest.mark.parametrize("name", sample(NETS, "pooling", "a decoder"))
def test_results_have_the_same_bits(name: str, tmp_path: Path) -> None:
    net = NETS[name]
    net.write(tmp_path)
    assert_same_bits(
        tmp_path,
        net.signature,
        net.draw if isinstance(net, TimeNet) else lambda steps, batch: net.draw(steps, batch, 4),
    )


def test_rows_that_end_apart_have_the_same_bits(tmp_path: Path) -> None:
    assert_same_bits(tmp_path, *lengths_net(tmp_path))


def test_other_rows_are_not_touched(tmp_path: Path) -> None:
    signature, draw = lengths_net(tmp_path)
    inputs, state, lengths = draw(4, 5)
    want = c.start(tmp_path / "model.c", signature)(inputs, state, lengths)
    library = ctypes.CDLL(str(c.library(tmp_path / "model.c")))
    run_rows = getattr(library, f"{entry(tmp_path / 'model.c').name}_rows")
    run_rows.restype = None
    outputs, after = (np.full_like(array, np.nan) for array in want)
    arrays = map(c.pointer, (inputs, state, outputs, after, lengths))
    run_rows(*map(ctypes.c_size_t, (1, 2, 4, 5)), *arrays)
    for got, whole in zip((outputs, after), want, strict=True):
        assert np.isnan(got[:, [0, 3, 4]]).all()
        np.testing.assert_array_equal(got[:, 1:3], whole[:, 1:3])


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None])
def test_a_number_of_threads_that_is_none_is_refused(
    threads: Any, rnn: ModelCase, exported: Exported
) -> None:
    with pytest.raises(InputError, match="threads: expected a whole number from 1 on, got"):
        rnn_export.load(exported(rnn).folder, "c", threads=threads)


@pytest.mark.parametrize("runtime", [name for name, runtime in RUNTIMES.items() if not runtime.threaded])
def test_a_runtime_without_threads_of_its_own_takes_one(
    runtime: str, rnn: ModelCase, exported: Exported
) -> None:
    with pytest.raises(InputError, match=r"expected 1, got 2\. Load it with runtime 'onnxruntime' or 'c'"):
        rnn_export.load(exported(rnn, pt2=True).folder, runtime, threads=2)


@pytest.mark.parametrize("runtime", [name for name, runtime in RUNTIMES.items() if runtime.threaded])
def test_runners_and_their_sessions_take_threads(runtime: str, rnn: ModelCase, exported: Exported) -> None:
    folder = exported(rnn).folder
    alone = rnn_export.load(folder, runtime)
    shared = pickle.loads(pickle.dumps(rnn_export.load(folder, runtime, threads=3)))
    inputs = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
    (want, after), session = alone(inputs), shared.session(5)
    np.testing.assert_allclose(shared(inputs)[0], want, atol=1e-6)
    for x_t, y_t in zip(inputs, want, strict=True):
        np.testing.assert_allclose(session.step(x_t), y_t, atol=1e-6)
    np.testing.assert_allclose(session.state[0], after[0], atol=1e-6)


def test_several_callers_share_threads(rnn: ModelCase, exported: Exported) -> None:
    folder = exported(rnn).folder
    alone, shared = rnn_export.load(folder, "c"), rnn_export.load(folder, "c", threads=2)
    drawn = [np.random.default_rng(seed).standard_normal((9, 7, 4)).astype(np.float32) for seed in range(40)]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda inputs: shared(inputs)[0], drawn))
    for got, inputs in zip(found, drawn, strict=True):
        np.testing.assert_array_equal(got, alone(inputs)[0])


@pytest.mark.filterwarnings("ignore:This process")  # that it has threads, which is what is tried
def test_a_forked_process_has_threads_of_its_own() -> None:
    seen: list[tuple[int, int]] = []

    def run_rows(first: ctypes.c_size_t, rows: ctypes.c_size_t, *_: object) -> None:
        seen.append((first.value, rows.value))

    sizes, run = (ctypes.c_size_t(1), ctypes.c_size_t(5)), RowThreads(run_rows, 2)
    run(*sizes)
    assert sorted(seen) == [(0, 3), (3, 2)]
    child = os.fork()
    if child == 0:
        run(*sizes)
        os._exit(len(seen))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4


def test_a_call_that_is_quicker_alone_is_run_alone() -> None:
    rows_of_calls: list[int] = []

    def run_rows(first: ctypes.c_size_t, rows: ctypes.c_size_t, steps: ctypes.c_size_t, *_: object) -> None:
        rows_of_calls.append(rows.value)
        time.sleep(0.05 * rows.value if steps.value > 1 else 0)

    run = RowThreads(run_rows, 2)
    for steps, divided in ((1, [4]), (100, [2, 2])):
        for _ in range(TRIALS):
            run(ctypes.c_size_t(steps), ctypes.c_size_t(4))
        rows_of_calls.clear()
        run(ctypes.c_size_t(steps), ctypes.c_size_t(4))
        assert rows_of_calls == divided


def test_a_file_of_an_earlier_version_is_run_in_one_thread(
    rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    bundle = exported(rnn)
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    for file in ("model.c", "model.h"):
        path = tmp_path / "bundle" / file
        path.write_text(path.read_text().replace("_run_rows(", "_other("))
    c.start(path.with_name("model.c"), bundle.signature)
    with pytest.raises(BundleError, match=r"a function rnn_run_rows, got none\. It is of an earlier version"):
        c.start(path.with_name("model.c"), bundle.signature, threads=2)
