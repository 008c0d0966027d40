"""How ``model.c`` reads: equations in the model's own names, sizes by name, nothing that says nothing."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rnn_export
from tests.support.c_cells import write_c
from tests.support.c_programs import SANITIZE, build_driver, needs_compiler, run_driver
from tests.support.cases import CallCase, ModelCase, each_compiled, the
from tests.support.exports import Exported

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch.nn itself

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
IDLE = re.compile(
    r"[*/] 1\b(?![.\d])|(?<![-\w.] )\+ 0\b(?![.\dx])|\bpart < 1\b|\(\w+\) \* \w+_SIZE \+ 0|r \* 0\b"
)


def written(bundle: rnn_export.Bundle) -> str:
    """Give what is written for a net: all but the kernels, which are the same for every net."""
    text = (bundle.folder / "model.c").read_text()
    calls, kernels = text.split("#else /* what is compiled", 1)
    return calls.rpartition("#define FILE_NAME")[2] + kernels[kernels.index("INLINE void walk(") :]


@each_compiled
def test_nothing_is_multiplied_by_one_or_moved_by_nothing(
    case: ModelCase | CallCase, exported: Exported
) -> None:
    text = COMMENT.sub("", written(exported(case)))
    assert not IDLE.findall(text[text.index("void ") :])


@each_compiled
def test_what_is_declared_is_used(case: ModelCase | CallCase, exported: Exported) -> None:
    text = (exported(case).folder / "model.c").read_text()
    struct = re.search(r"struct call \{(.*?)\}", text, re.DOTALL)
    sizes = re.search(r"^enum \{(.*?)\}", text, re.DOTALL | re.MULTILINE)
    assert struct
    assert sizes
    for member in re.findall(r"(\w+);", struct[1]):
        assert f"c->{member}" in text
    for size in re.findall(r"(\w+) = ", sizes[1]):
        assert len(re.findall(rf"\b{size}\b", text)) > 1


EQUATIONS = {
    "rnn": ["H = tanh(inputs W_xh + H W_hh + b_h)", "outputs = H W_hq + b_q"],
    "gru": [
        "Z = sigmoid(inputs W_xz + H W_hz + b_z)",
        "R = sigmoid(inputs W_xr + H W_hr + b_r)",
        "H_tilde = tanh(inputs W_xh + (R * H) W_hh + b_h)",
        "H = Z * H + (1 - Z) * H_tilde",
    ],
    "lstm": [
        "I = sigmoid(inputs W_xi + H W_hi + b_i)",
        "C_tilde = tanh(inputs W_xc + H W_hc + b_c)",
        "C = F * C + I * C_tilde",
        "H = O * tanh(C)",
    ],
    "char_rnn": ["Z = sigmoid(net.W_xz[inputs] + H net.W_hz + net.b_z)"],
    "layers_first": ["low = tanh(inputs W_x + low W_1)", "high = tanh(low + high W_2)"],
    "list_state": ["peak = max(peak * 0.5, inputs)"],
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equations_of_the_step_stand_above_its_loop(name: str, exported: Exported) -> None:
    text = (exported(the(name)).folder / "model.c").read_text()
    comments = [re.sub(r"\s+", " ", comment) for comment in COMMENT.findall(text)]
    for equation in EQUATIONS[name]:
        assert any(equation in comment for comment in comments), equation


class Wide(nn.Module):
    """So many units that not even eight time steps of a row fit into the buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.tensor(0.5))

    def forward(self, inputs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x in inputs:
            h = torch.tanh(x + h * self.decay) + 0.1 * h  # else it is an RNN with a matrix of 36 million
            outputs.append(h)
        return torch.stack(outputs), h


@pytest.mark.exhaustive
@needs_compiler
def test_a_row_alone_never_takes_more_time_steps_than_the_buffers_have(tmp_path: Path) -> None:
    units = 6000
    bundle = rnn_export.export(Wide(), (torch.randn(9, 1, units), torch.zeros(1, units)), tmp_path / "wide")
    found = re.search(r"#define SLOTS (\d+)", (bundle.folder / "model.c").read_text())
    assert found
    assert int(found[1]) < 8
    build_driver(bundle.folder, "wide", tmp_path / "driver", "-march=native", *SANITIZE)
    run_driver(bundle, tmp_path / "driver")


def test_products_of_one_size_are_one_function(tmp_path: Path) -> None:
    """A deep matrix is cut into parts of one size, of which a compiler takes one."""
    write_c(nn.RNN(3, 512, 3), (torch.zeros(2, 1, 3), torch.zeros(3, 1, 512)), tmp_path)
    text = (tmp_path / "model.c").read_text()
    own = set(re.findall(r"static void (affine_\w+)\(", text))
    assert own == {"affine_128_512"}
    assert len(re.findall(r"\baffine_128_512\(", text)) > 3 * 512 / 128
    assert re.findall(r"\baffine\((\d+), rows, 128, 512", text) == ["1"]
