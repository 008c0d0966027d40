"""What people write in a time step, as C: right, and with the same bits in any batch and in pieces."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rnn_export.runtimes import c
from rnn_export.runtimes.c import floats
from rnn_export.runtimes.compiler import compiler, entry
from tests.support.c_cells import assert_as_eager, flat, write_c
from tests.support.c_programs import CALLS, POISON, STRICT, build_driver, compile_c, needs_compiler
from tests.support.cases import sample
from tests.support.folded import Folded
from tests.support.step_nets import STEP_NETS

pytestmark = needs_compiler
STEPS, BATCH, TOLERANCE = 7, 11, 2e-5
QUICK = ("causal buffer", "conv LSTM", "memory attention", "sums", "writes")


@pytest.mark.several(3)
@pytest.mark.parametrize("name", sample(STEP_NETS, *QUICK))
def test_it_is_as_in_eager_with_the_same_bits_in_any_batch_and_in_pieces(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", f"-O1 {POISON} -march=native")
    net = STEP_NETS[name]
    module = net.module()
    call = c.start(tmp_path / "model.c", write_c(module, net.example(), tmp_path).signature)
    arguments = net.example(STEPS, BATCH)
    assert_as_eager(module, call, arguments, TOLERANCE)
    inputs, *state = (leaf.numpy() for leaf in flat(arguments))
    whole = call(inputs, *state)
    for rows in (slice(0, 1), slice(3, 8)):
        part = call(np.ascontiguousarray(inputs[:, rows]), *(leaf[rows] for leaf in state))
        for got, want in zip(part, (whole[0][:, rows], *(leaf[rows] for leaf in whole[1:])), strict=True):
            assert got.tobytes() == want.tobytes()
    outputs = []
    for piece in (slice(0, 1), slice(1, 5), slice(5, STEPS)):
        part, *state = call(inputs[piece], *state)
        outputs.append(part)
    for got, want in zip((np.concatenate(outputs), *state), whole, strict=True):
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", sample(STEP_NETS, "every pooling"))
def test_it_compiles_without_a_warning_and_calls_nothing(name: str, tmp_path: Path) -> None:
    net = STEP_NETS[name]
    write_c(net.module(), net.example(), tmp_path)
    line = [*STRICT, "-O1", "-march=native", "-c", tmp_path / "model.c"]
    compile_c(compiler() or [], tmp_path / "model.o", *line)
    table = subprocess.run(
        ["nm", str(tmp_path / "model.o")], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[-1] for line in table.splitlines() if " U " in line} <= CALLS


@pytest.mark.parametrize("name", sample(STEP_NETS, "conv LSTM"))
def test_a_call_allocates_nothing_and_needs_no_more_stack_than_it_says(name: str, tmp_path: Path) -> None:
    net, program = STEP_NETS[name], tmp_path / "driver"
    module = net.module()
    write_c(module, net.example(), tmp_path)
    build_driver(tmp_path, "net", program, "-march=native", "-DPAINT")
    inputs, *state = flat(net.example(STEPS, BATCH))
    with torch.no_grad():
        outputs, *after = flat(module(inputs, state[0] if len(state) == 1 else tuple(state)))
    held = b"".join(leaf.numpy().tobytes() for leaf in state)
    room = 4 * floats(entry(tmp_path / "model.c").workspaces(()), {"time": STEPS, "batch": BATCH})
    sizes = [STEPS, BATCH, inputs.numpy().nbytes, len(held), outputs.numpy().nbytes, room]
    call = np.array(sizes, np.uint64).tobytes() + inputs.numpy().tobytes() + held
    done = subprocess.run([program], input=call, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    got = np.frombuffer(done.stdout, np.float32)
    want = np.concatenate([leaf.numpy().ravel() for leaf in (outputs, *after)])
    np.testing.assert_allclose(got[: want.size], want, rtol=TOLERANCE, atol=TOLERANCE)


class Centred(Folded):
    """What a layer norm does first: silence makes all numbers of a row equal."""

    def step(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean = x.mean(-1, keepdim=True)
        return torch.cat([x - mean, mean], -1), h + x


def test_the_mean_of_equal_numbers_is_that_number(tmp_path: Path) -> None:
    """Else ``x - mean``, which is divided by a deviation of 0 and an epsilon, is noise."""
    torch.manual_seed(0)
    example = torch.randn(2, 3, 7), torch.zeros(3, 7)
    call = c.start(tmp_path / "model.c", write_c(Centred(), example, tmp_path).signature)
    numbers = torch.cat([torch.randn(61), torch.tensor([torch.inf, -torch.inf, torch.nan])])
    outputs, _ = call(numbers[None, :, None].repeat(2, 1, 7).numpy(), np.zeros((64, 7), np.float32))
    np.testing.assert_array_equal(outputs[:, :61, :7], 0)
    np.testing.assert_array_equal(outputs[:, :, 7], numbers.expand(2, 64))
