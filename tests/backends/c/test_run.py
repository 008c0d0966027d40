"""What a call does to its process: no allocation, bounded stack, any number of threads, any processor."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rnn_export.runtimes.compiler import library
from tests.support.c_programs import SANITIZE, build_driver, needs_compiler, run_driver
from tests.support.cases import sample, the
from tests.support.exports import Exported

pytestmark = needs_compiler
AARCH64 = "aarch64-linux-gnu-gcc"


@pytest.mark.several(1)
@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("gcc", ["-O3", "-march=native"], marks=pytest.mark.needs("gcc"), id="gcc"),
        pytest.param("clang", ["-O1"], marks=pytest.mark.needs("clang"), id="clang"),
    ],
)
@pytest.mark.parametrize("name", sample(["rnn", "wide", "tagger", "deep_bidirectional"], "rnn", "tagger"))
def test_a_call_allocates_nothing_and_needs_no_more_stack_than_it_says(
    name: str, command: str, options: list[str], exported: Exported, tmp_path: Path
) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    build_driver(bundle.folder, name, program, *options, "-DPAINT", command=command)
    run_driver(bundle, program)


def test_an_allocation_would_be_seen(exported: Exported, tmp_path: Path) -> None:
    folder, program = exported(the("rnn")).folder, tmp_path / "driver"
    source = (folder / "model.c").read_text()
    head, start, rest = source.partition("    const struct call call = ")
    assert start
    leak = "    extern void free(void *), *malloc(size_t);\n    free(malloc(batch));\n"
    (tmp_path / "model.c").write_text(head + leak + start + rest)
    (tmp_path / "model.h").write_text((folder / "model.h").read_text())
    build_driver(tmp_path, "rnn", program, "-O0")
    call = np.array([0, 3, 0, 72, 0, 0], np.uint64).tobytes() + bytes(72)
    done = subprocess.run([program], input=call, capture_output=True, check=False)
    assert b"allocations during calls" in done.stderr


@pytest.mark.parametrize("name", sample(["gru", "tagger", "deep_bidirectional"], "tagger"))
def test_eight_threads_share_one_library(name: str, exported: Exported, tmp_path: Path) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    build_driver(bundle.folder, name, program, "-fsanitize=thread")
    run_driver(bundle, program, "8")


@pytest.mark.several(1)
@pytest.mark.parametrize(
    "options", [["-DPLAIN_LOOPS"], ["-mno-avx512f"], ["-march=x86-64"]], ids=lambda options: options[0]
)
@pytest.mark.parametrize("name", sample(["lstm", "tagger"], "lstm"))
def test_other_processors_compute_the_same(
    name: str, options: list[str], exported: Exported, tmp_path: Path
) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    build_driver(bundle.folder, name, program, "-march=native", *options, *SANITIZE)
    run_driver(bundle, program)


@pytest.mark.needs(AARCH64, "qemu-aarch64")
@pytest.mark.parametrize(
    "name",
    sample(
        ["rnn", "lstm", "gru", "tagger", "classifier", "deep_bidirectional", "parallel_in_training"],
        "lstm",
        "tagger",
    ),
)
def test_arm_computes_the_same(name: str, exported: Exported, tmp_path: Path) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    build_driver(bundle.folder, name, program, "-static", command=AARCH64)
    run_driver(bundle, "qemu-aarch64", program)


@pytest.mark.needs(AARCH64, "qemu-aarch64")
def test_arm_computes_the_same_with_plain_loops(exported: Exported, tmp_path: Path) -> None:
    bundle, program = exported(the("lstm")), tmp_path / "driver"
    build_driver(bundle.folder, "lstm", program, "-static", "-DPLAIN_LOOPS", command=AARCH64)
    run_driver(bundle, "qemu-aarch64", program)


def test_no_time_steps_or_rows_write_the_state_alone(exported: Exported, tmp_path: Path) -> None:
    bundle, program = exported(the("lstm")), tmp_path / "driver"
    build_driver(bundle.folder, "lstm", program, *SANITIZE)
    state = np.arange(36, dtype=np.float32)
    calls = np.array([0, 3, 0, state.nbytes, 0, 0], np.uint64).tobytes() + state.tobytes()
    calls += np.array([4, 0, 0, 0, 0, 0], np.uint64).tobytes()
    done = subprocess.run([program], input=calls, capture_output=True, check=True)
    assert done.stdout == state.tobytes()


@pytest.mark.parametrize("name", sample(["tagger", "char_rnn"], "tagger"))
def test_token_ids_that_there_are_not_read_nothing_outside(
    name: str, exported: Exported, tmp_path: Path
) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    build_driver(bundle.folder, name, program, *SANITIZE)
    signature = bundle.signature
    end = signature.inputs[0].vocabulary
    assert end
    limits = np.iinfo(np.int64)
    ids = np.array([-1, end, end + 1, -(2**31), 2**31, 2**32, 2**62, limits.min, limits.max])
    state = b"".join(leaf.tobytes() for leaf in signature.initial_state(1))
    outputs = len(ids) * signature.outputs[0].sized(time=1, batch=1)[-1] * 4
    call = np.array([len(ids), 1, ids.nbytes, len(state), outputs, 0], np.uint64).tobytes()
    done = subprocess.run([program], input=call + ids.tobytes() + state, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert np.isfinite(np.frombuffer(done.stdout[:outputs], np.float32)).all()


@pytest.mark.parametrize(("time", "batch"), [(0, 3), (4, 0), (0, 0)])
@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        *((name, False) for name in ("gru", "tagger", "classifier", "deep_bidirectional", "state_within")),
        *((name, True) for name in ("lstm", "classifier", "deep_bidirectional")),
    ],
)
def test_without_time_steps_or_rows_the_rest_is_left_alone(
    name: str, time: int, batch: int, lengths: bool, exported: Exported, exported_ragged: Exported
) -> None:
    bundle = (exported_ragged if lengths else exported)(the(name))
    function = ctypes.CDLL(str(library(bundle.folder / "model.c")))[f"{name}_run"]
    leaves = [np.full(leaf.sized(batch=batch), 0.5, leaf.dtype) for leaf in bundle.signature.state]
    state = np.concatenate([np.empty(0, np.float32), *[leaf.ravel() for leaf in leaves]])
    outputs, workspace = np.full(99, 7, np.float32), np.full(99, 7, np.float32)
    after = np.full(state.size + 9, 7, np.float32)
    arrays = [outputs[:0], state, outputs, after]
    arrays += [workspace] if "WORKSPACE_SIZE" in (bundle.folder / "model.h").read_text() else []
    arrays += [np.zeros(batch, np.int64)] if lengths else []
    function(
        ctypes.c_size_t(time),
        ctypes.c_size_t(batch),
        *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays),
    )
    written = state.size if bundle.signature.returns_state else 0
    assert after[:written].tobytes() == state[:written].tobytes()
    for untouched in (outputs, workspace, after[written:]):
        assert (untouched == 7).all()
