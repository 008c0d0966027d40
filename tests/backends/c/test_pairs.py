"""What there is of each pair of time steps and places, as C: right at all sizes, the same in any batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnn_export.backends.c.write.model import compile_program
from rnn_export.errors import CompileError
from rnn_export.runtimes import c
from rnn_export.runtimes.compiler import compiler
from tests.support.c_programs import POISON, SANITIZE, STRICT, as_driver, compile_c, needs_compiler, run_calls
from tests.support.cases import sample
from tests.support.pair_nets import PAIR_NETS, REFUSED, PairNet, arguments_of

pytestmark = needs_compiler
SIZES = ((1, 1, 1), (2, 3, 5), (6, 5, 2), (33, 2, 17), (3, 70, 70))  # time steps, rows, and places
TOLERANCE = 2e-5  # ONNX Runtime adds up in another order
QUICK = ("a decoder", "causal", "heads", "units of pairs")


@pytest.mark.parametrize("name", sample(PAIR_NETS, *QUICK))
def test_it_is_as_in_onnx_runtime_with_the_same_bits_in_any_batch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", f"-O1 {POISON} -march=native")
    net = PAIR_NETS[name]
    call, program, signature = net.call(tmp_path), net.program(), net.signature
    for sizes in SIZES:
        arguments = arguments_of(net, sizes)
        want, results = program.run(arguments), call(*arguments.values())
        last = [
            np.ascontiguousarray(arguments[spec.name].take([-1], spec.batch_axis))
            for spec in signature.arguments
        ]
        for spec, got, alone in zip(signature.results, results, call(*last), strict=True):
            own = want[spec.name if spec in signature.outputs else spec.output_name]  # type: ignore[attr-defined]
            np.testing.assert_allclose(got, own, rtol=TOLERANCE, atol=TOLERANCE)
            assert alone.tobytes() == got.take([-1], spec.batch_axis).tobytes()


def test_a_sequence_may_be_cut(tmp_path: Path) -> None:
    net = PAIR_NETS["a decoder"]
    call, signature = net.call(tmp_path), net.signature
    *inputs, state = net.draw(7, 3, 5)
    whole, pieces = call(*inputs, state), []
    for step in range(7):
        *outputs, state = call(*signature.cut(inputs, slice(step, step + 1)), state)
        pieces.append(outputs)
    assert [each.tobytes() for each in (*signature.joined(pieces), state)] == [
        each.tobytes() for each in whole
    ]


def test_rows_may_end_apart(tmp_path: Path) -> None:
    net = PAIR_NETS["a decoder"]
    ragged = replace(net.signature, lengths=True)
    files = compile_program(net.program(), ragged, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    call, alone = c.start(tmp_path / "model.c", ragged), net.call(tmp_path)
    *inputs, state = net.draw(6, 3, 5)
    outputs = call(*inputs, state, np.array([6, 2, 0]))
    for row, steps in enumerate((6, 2)):
        one = [each[row : row + 1] for each in (*net.signature.cut(inputs, slice(steps)), state)]
        for spec, got, want in zip(net.signature.results, outputs, alone(*one), strict=True):
            own = got[row : row + 1]
            assert spec.cut(own, slice(steps)).tobytes() == want.tobytes()
            assert spec.time_axis is None or not spec.cut(own, slice(steps, None)).any()
    assert outputs[-1][2].tobytes() == state[2].tobytes()


@pytest.mark.several(1)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["-march=native"], id="vectors"),
        pytest.param(["-DPLAIN_LOOPS", "-O0"], id="plain", marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.parametrize("name", sample(PAIR_NETS, "units of pairs"))
def test_neither_the_compiler_nor_the_sanitizers_report_anything(
    name: str, options: list[str], tmp_path: Path
) -> None:
    net = PAIR_NETS[name]
    net.write(tmp_path)
    (tmp_path / "driver.c").write_text(as_driver(tmp_path, net.signature))
    sources = [tmp_path / "model.c", tmp_path / "driver.c"]
    line = [*STRICT, *SANITIZE, "-O1", *options, *sources]
    compile_c(compiler() or [], tmp_path / "driver", *line)
    calls = [(net.sizes(*sizes), net.draw(*sizes)) for sizes in SIZES]
    call = net.call(tmp_path)
    found = run_calls(tmp_path, net.signature, calls)
    for (_, arguments), results in zip(calls, found, strict=True):
        for got, want in zip(results, call(*arguments), strict=True):
            np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(("net", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused_with_its_reason(net: PairNet, said: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=said):
        net.call(tmp_path)


def test_the_header_says_what_a_free_size_is_and_what_it_needs(tmp_path: Path) -> None:
    PAIR_NETS["two memories"].write(tmp_path)
    header = (tmp_path / "model.h").read_text()
    assert "void net_run(size_t steps, size_t batch, size_t memory_length, size_t other_length, " in header
    assert "memory_length that size of the contexts below: 1 at least" in header
    for size in ("memory_length", "other_length"):
        assert f"floats for each row and entry of {size} */" in header
    assert "/* numbers for each row, time step and entry of other_length */" in header
    assert "batch * (" in header
