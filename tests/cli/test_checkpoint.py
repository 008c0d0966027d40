"""``--checkpoint FILE``: weights as people save them, and what does not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rnn_export.cli.checkpoint import load_checkpoint
from rnn_export.cli.target import load_target
from rnn_export.errors import TargetError


def trained() -> nn.GRU:
    torch.manual_seed(3)
    return nn.GRU(4, 6)


def wrapped(prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in trained().state_dict().items()}


SAVED = {
    "a state dict": wrapped(""),
    "of DataParallel": wrapped("module."),
    "of a training script": {"epoch": 7, "state_dict": wrapped("net."), "optimizer": {"state": {}}},
    "beside the average": {"averages": {"mean": torch.ones(1)}, "model": wrapped("")},
}


@pytest.mark.daily
@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_weights_are_found_as_people_save_them(saved: dict[str, Any], tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "weights.pth")
    model = nn.GRU(4, 6)
    load_checkpoint(model, tmp_path / "weights.pth")
    for name, value in trained().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


class Code:
    """Something that is no tensor."""


WRONG: dict[str, tuple[Any, str]] = {
    "of another size": (
        nn.GRU(4, 7).state_dict(),
        r"does not fit GRU: weight_ih_l0 \[21, 4\] instead of \[18, 4\], .* have other shapes. Build the m",
    ),
    "of one layer more": (
        nn.GRU(4, 6, 2).state_dict(),
        "weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_hh_l1 are not the model's",
    ),
    "of less": ({"weight_ih_l0": torch.ones(18, 4)}, "weight_hh_l0, bias_ih_l0, bias_hh_l0 are missing"),
    "code": (Code(), r"cannot be read as weights: it holds more than tensors.* torch.save\(model.state_dict"),
    "one tensor": (torch.ones(3), "expected weights by name, got Tensor"),
}


@pytest.mark.daily
@pytest.mark.parametrize(("saved", "message"), WRONG.values(), ids=WRONG)
def test_weights_that_do_not_fit_are_named(saved: Any, message: str, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "weights.pth")
    with pytest.raises(TargetError, match=message):
        load_checkpoint(trained(), tmp_path / "weights.pth")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"gone.pth: no such file in .* Name a file that torch.save"):
        load_checkpoint(trained(), tmp_path / "gone.pth")


def test_the_command_line_loads_it_into_what_the_factory_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "built.py").write_text(
        "import torch\ndef factory():\n    return torch.nn.GRU(4, 6), torch.zeros(9, 3, 4)\n"
    )
    torch.save(trained().state_dict(), tmp_path / "weights.pth")
    monkeypatch.chdir(tmp_path)
    model, _, _ = load_target("built.py:factory", None, tmp_path / "weights.pth")
    torch.testing.assert_close(model.weight_ih_l0, trained().weight_ih_l0)
