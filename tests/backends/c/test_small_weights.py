"""C of smaller weights: every kernel that reads them, every kind of processor, and the bits of a row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.backends.c.write.model import compile_program
from rnn_export.backends.c.write.source import kernel_text
from rnn_export.module.rounded_weights import with_rounded_weights
from rnn_export.program.small_weights import BF16, INT8
from rnn_export.runtimes import c
from tests.support.c_cells import assert_as_eager, captured, write_c
from tests.support.c_programs import needs_compiler

pytestmark = needs_compiler
DAILY = {(INT8, "gcc, this processor"), (BF16, "gcc, plain loops")}
FLAGS = {
    "gcc, any processor": ("gcc", "-O2"),
    "gcc, this processor": ("gcc", "-O1 -march=native"),
    "gcc, AVX2": ("gcc", "-O1 -mavx2 -mfma"),
    "gcc, four numbers": ("gcc", "-O1 -DALLOWED(lanes)=0"),
    "gcc, plain loops": ("gcc", "-O1 -DPLAIN_LOOPS"),
    "clang, any processor": ("clang", "-O1"),
    "clang, this processor": ("clang", "-O3 -march=native"),
}
each_kind = pytest.mark.parametrize("kind", [INT8, BF16])


class Everything(nn.Module):
    """All that reads matrices: tables, gates, deep and narrow products, convolutions, several rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 19)
        self.cell, self.hot = nn.GRU(19, 37), nn.Linear(11, 23)
        self.deep, self.narrow = nn.Linear(150, 70), nn.Linear(70, 2)
        self.mix, self.groups = nn.Conv1d(1, 6, 3, padding=1), nn.Conv1d(6, 8, 3, groups=2)
        self.heads, self.back = nn.Linear(5, 24), nn.Linear(37, 150)

    def forward(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run it."""
        y, state = self.cell(self.table(ids), state)
        wide = torch.tanh(self.back(y))
        deep = torch.sigmoid(self.deep(wide))
        maps = self.groups(torch.tanh(self.mix(y.flatten(0, 1)[:, None]))).flatten(1)
        maps = maps.unflatten(0, y.shape[:2])
        rows = self.heads(wide[..., :150].unflatten(-1, (30, 5))).flatten(2)
        hot = self.hot(functional.one_hot(ids, 11).type_as(y))
        return torch.cat([self.narrow(deep), deep, maps, rows, hot], -1), state


def example() -> tuple[Tensor, Tensor]:
    return torch.randint(11, (4, 2)), torch.zeros(1, 2, 37)


def rounded_net(kind: str, make: Callable[[], nn.Module] = Everything) -> nn.Module:
    torch.manual_seed(0)
    return with_rounded_weights(make().eval(), example(), None, kind)[0].eval()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param(kind, how, marks=[] if (kind, how) in DAILY else pytest.mark.exhaustive)
        for kind in (INT8, BF16)
        for how in FLAGS
    ],
)
@pytest.mark.daily
def test_it_gives_what_eager_gives_with_the_same_weights(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, flags = FLAGS[how]
    monkeypatch.setenv("CC", command)
    monkeypatch.setenv("CFLAGS", flags)
    net = rounded_net(kind)
    subject = write_c(net, example(), tmp_path, kind)
    call, state = c.start(tmp_path / "model.c", subject.signature), torch.randn(1, 37, 37) / 3
    ids = torch.randint(11, (9, 37))
    assert_as_eager(net, call, (ids, state), 1e-5)
    whole = call(ids.numpy(), state.numpy())
    for row in (0, 5, 36):
        alone = [ids[:, row : row + 1].numpy(), state[:, row : row + 1].numpy()]
        first, middle = call(alone[0][:4], alone[1])
        second, last = call(alone[0][4:], middle)
        np.testing.assert_array_equal(np.concatenate([first, second])[:, 0], whole[0][:, row])
        np.testing.assert_array_equal(last[:, 0], whole[1][:, row])


def test_small_matrices_are_all_but_those_that_are_not_rounded() -> None:
    net = rounded_net(INT8)
    with torch.no_grad():
        net.get_parameter("hot.weight").mul_(1.1)
    subject, program = captured(net, example())
    files = compile_program(program, subject.signature, "net", weights=INT8)
    assert [name[name.index("[") :] for name in files.kept] == ["[11, 23]"]
    wide = compile_program(program, subject.signature, "net")
    assert len(wide.source) > 2.2 * len(files.source)


@pytest.mark.exhaustive
@each_kind
def test_the_numbers_of_a_large_one_stand_in_a_file(kind: str, tmp_path: Path) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.cell, self.head = nn.Embedding(11, 37), nn.GRU(37, 37), nn.Linear(37, 8000)

        def forward(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            y, state = self.cell(self.table(ids), state)
            return self.head(y), state

    net = rounded_net(kind, Large)
    subject = write_c(net, example(), tmp_path, kind)
    size = (tmp_path / "model.c.weights").stat().st_size
    numbers = 37 * (8000 + 2 * 111)
    assert size < numbers * (1 if kind == INT8 else 2) + 4 * 8000 * (2 if kind == INT8 else 1) + 4096
    assert f"{size} bytes of weights, the matrices in {kind}, stand in" in (tmp_path / "model.h").read_text()
    call = c.start(tmp_path / "model.c", subject.signature)
    assert_as_eager(net, call, (torch.randint(11, (3, 2)), torch.zeros(1, 2, 37)), 1e-5)


def test_every_kernel_that_reads_weights_reads_smaller_ones() -> None:
    """Whatever becomes of ``kernels.c``: no float is read where there are others, no scale is forgotten."""
    names = ("affine", "convolve", "dot", "product")
    for kind, scales in ((INT8, 4), (BF16, 0)):
        text = "\n".join(kernel_text({f"{name}_{kind}" for name in names}))
        small = text[text.index(f"terms_{kind}") :]
        assert "const float *w" not in small
        assert " load(w " not in small
        assert small.count("const float *scale") == scales
        assert small.count("load(scale + at)") + small.count("scale[column]") == scales // 2
