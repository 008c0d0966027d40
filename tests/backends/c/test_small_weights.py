"""C of smaller weights: every kernel that reads them, every kind of processor, and the bits of a row."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.backends.c.write.model import compile_program
from rnn_export.backends.c.write.pack import pack, words
from rnn_export.backends.c.write.source import kernel_text
from rnn_export.module.rounded_weights import with_rounded_weights
from rnn_export.program.small_weights import BF16, INT8
from rnn_export.runtimes import c
from rnn_export.signature.tensors import Array
from tests.support.c_cells import assert_as_eager, captured, write_c
from tests.support.c_programs import compile_c, has_avx512, needs_compiler

pytestmark = needs_compiler
DAILY = {(INT8, "gcc, this processor")}
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
    numbers = 40 * (8000 + 2 * 111)  # 37 rows, in words of two or four
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


# A product of 150 rows and 80 columns alone.
AFFINE = """
#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define TARGET
#define APART
#define ALIGNED __attribute__((aligned(64)))
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 16")
#define REPEAT
#define SLOTS 24
#define TALLEST 8
#define REGISTERS 16
{kernels}
void affine(size_t rows, const float *x, const uint32_t *w, const float *scale, const float *b, float *y)
{{
    affine_int8(1, rows, 150, 80, x, 150, w, scale, b, y, 80);
}}
"""


def test_int8_products_are_within_what_a_row_is_rounded_by(tmp_path: Path) -> None:
    """That is 2^-24 of the largest number of a row. Infinity and NaN stay what they are."""
    (tmp_path / "affine.c").write_text(AFFINE.format(kernels="\n".join(kernel_text({"affine_int8"}))))
    lanes = 16 if has_avx512() else 4
    options = ["-O1", "-march=native", f"-DLANES={lanes}", "-ffp-contract=off", "-shared", "-fPIC"]
    compile_c(["gcc"], tmp_path / "affine.so", *options, tmp_path / "affine.c")
    function, random = ctypes.CDLL(str(tmp_path / "affine.so")).affine, np.random.default_rng(0)
    numbers = random.integers(-127, 128, (150, 80)).astype(np.int8)
    scale, bias = random.random(80).astype(np.float32), random.standard_normal(80).astype(np.float32)
    weights = np.ascontiguousarray(pack(words(numbers, 4)))

    def affine(x: Array) -> Array:
        y = np.zeros((len(x), 80), np.float32)
        arrays = (each.ctypes.data_as(ctypes.c_void_p) for each in (x, weights, scale, bias, y))
        function(ctypes.c_size_t(len(x)), *arrays)
        return y

    x = (random.standard_normal((37, 150)) * 10.0 ** random.integers(-30, 30, (37, 1))).astype(np.float32)
    x[3] *= random.random(150) ** 20
    x[5] = 0
    y, matrix = affine(x), numbers * scale.astype(np.float64)
    want = bias + x.astype(np.float64) @ matrix
    allowed = 2.0**-24 * np.abs(x).max(1, keepdims=True) * np.abs(matrix).sum(0)
    assert (np.abs(y - want) <= allowed + 2.0**-22 * (np.abs(want) + np.abs(bias))).all()
    for row in (0, 7, 36):
        np.testing.assert_array_equal(affine(x[row : row + 1].copy())[0], y[row])
    odd = x.copy()
    odd[2, 4], odd[9, 149], odd[11, 3], odd[11, 140] = np.inf, np.nan, -np.inf, np.inf
    with np.errstate(invalid="ignore"):
        expected = bias + odd[[2, 9, 11]] @ matrix
    found = affine(odd)
    np.testing.assert_array_equal(np.isnan(found[[2, 9, 11]]), np.isnan(expected))
    np.testing.assert_array_equal(found[2] > 0, expected[0] > 0)
    others = np.setdiff1d(np.arange(37), [2, 9, 11])
    np.testing.assert_array_equal(found[others], y[others])
