"""What mixes time steps, as C: right at sizes that it was not traced at, with the same bits in any batch."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from rnn_export.errors import CompileError
from rnn_export.runtimes import c
from rnn_export.runtimes.compiler import compiler, entry
from tests.support.c_programs import POISON, SANITIZE, STRICT, build_driver, compile_c, needs_compiler
from tests.support.cases import sample
from tests.support.time_nets import REFUSED, TIME_NETS, TimeNet

pytestmark = needs_compiler
SIZES = ((0, 1), (1, 3), (6, 5), (32, 2), (130, 70))  # time steps above the fewest, and rows
TOLERANCE = 2e-5  # ONNX Runtime adds up in another order
QUICK = ("attention", "convolution of images", "last of each row", "pooling", "sorted")


@pytest.mark.parametrize("name", sample(TIME_NETS, *QUICK))
def test_it_is_as_in_onnx_runtime_with_the_same_bits_in_any_batch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", f"-O1 {POISON} -march=native")
    net = TIME_NETS[name]
    call, program = net.call(tmp_path), net.program()
    names = [spec.name for spec in net.signature.inputs]
    for more, batch in SIZES:
        arguments = net.draw(net.least + more, batch)
        [want] = program.run(dict(zip(names, arguments, strict=True))).values()
        [got] = call(*arguments)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE)
        [alone] = call(*(np.ascontiguousarray(each[-1:]) for each in arguments))
        assert alone.tobytes() == got[-1:].tobytes()


@pytest.mark.parametrize("name", sample(TIME_NETS, "convolution of images"))
def test_the_compiler_warns_of_nothing(name: str, tmp_path: Path) -> None:
    TIME_NETS[name].write(tmp_path)
    line = [*STRICT, "-O1", "-march=native", "-c", tmp_path / "model.c"]
    compile_c(compiler() or [], tmp_path / "model.o", *line)


@pytest.mark.parametrize("name", sample([name for name, net in TIME_NETS.items() if net.alone]))
def test_the_sanitizers_report_nothing(name: str, tmp_path: Path) -> None:
    net = TIME_NETS[name]
    net.write(tmp_path)
    build_driver(tmp_path, "net", tmp_path / "driver", "-march=native", *SANITIZE)
    rooms = entry(tmp_path / "model.c").workspaces(())
    calls, wanted = b"", b""
    call = c.start(tmp_path / "model.c", net.signature)
    for more, batch in SIZES[:4]:
        [x] = net.draw(net.least + more, batch)
        [result] = call(x)
        room = 4 * c.floats(rooms, {"time": net.least + more, "batch": batch})
        sizes = np.array([net.least + more, batch, x.nbytes, 0, result.nbytes, room], np.uint64)
        calls, wanted = calls + sizes.tobytes() + x.tobytes(), wanted + result.tobytes()
    done = subprocess.run([tmp_path / "driver"], input=calls, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == wanted


@pytest.mark.parametrize(("net", "said"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_pattern_is_refused_with_its_reason(net: TimeNet, said: str) -> None:
    with pytest.raises(CompileError, match=said):
        net.call(Path())
