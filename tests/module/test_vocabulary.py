"""The token ids that a module takes are found, kept, and asked for in every runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import InputError
from rnn_export.module.reading import inspect_module
from rnn_export.module.vocabulary import find_vocabularies
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.as_json import from_json, to_json
from tests.support.cases import the
from tests.support.exports import Exported
from tests.support.paths import ROOT


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(37, 4), nn.GRU(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(self.embed(x))


class OneHot(Embedded):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(functional.one_hot(x, 4).type_as(self.embed.weight))


class Shifted(Embedded):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(self.embed(x + 1))


class Compared(Embedded):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru((x[..., None] == torch.arange(4)).type_as(self.embed.weight))


@pytest.mark.parametrize(
    ("net", "wanted"), [(Embedded(), 37), (OneHot(), 4), (Shifted(), None), (Compared(), None)]
)
def test_the_vocabulary_is_what_the_module_takes(net: nn.Module, wanted: int | None) -> None:
    [found] = find_vocabularies(inspect_module(net.eval(), torch.randint(0, 3, (6, 2))))
    assert found.vocabulary == wanted


def test_numbers_have_none() -> None:
    [found] = find_vocabularies(inspect_module(nn.GRU(4, 3).eval(), torch.randn(6, 2, 4)))
    assert found.vocabulary is None


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("token", [-1, 11])
def test_an_id_that_is_none_is_named_in_every_runtime(runtime: str, token: int, exported: Exported) -> None:
    runner = rnn_export.load(exported(the("char_rnn"), pt2=True).folder, runtime)
    inputs = np.zeros((4, 2), np.int64)
    runner(inputs)
    inputs[2, 1] = token
    with pytest.raises(InputError, match=rf"expected token ids from 0 to 10, got {token} at time 2, batch 1"):
        runner(inputs)


@pytest.mark.parametrize("rows_first", [False, True])
def test_ids_behind_the_end_of_a_row_may_be_any(rows_first: bool, exported: Exported) -> None:
    found = exported(the("tagger" if rows_first else "char_rnn")).signature
    assert found.inputs[0].vocabulary == 11
    inputs = np.zeros((2, 4), np.int64)
    inputs[1, 2:] = -1
    inputs = inputs if rows_first else inputs.T
    found.check_ids([inputs], np.array([4, 2]))
    with pytest.raises(InputError, match="got -1 at"):
        found.check_ids([inputs], np.array([4, 3]))


def test_a_bundle_that_does_not_say_is_read(exported: Exported) -> None:
    assert to_json(exported(the("char_rnn")).signature)["inputs"][0]["vocabulary"] == 11
    old = exported(the("rnn")).signature
    assert "vocabulary" not in to_json(old)["inputs"][0]
    assert from_json(json.loads(json.dumps(to_json(old)))) == old


def test_the_committed_bundles_are_read() -> None:
    for folder in sorted(Path(ROOT / "artifacts").iterdir()):
        if (folder / "manifest.json").exists():
            assert Bundle.open(folder).signature.inputs[0].name == "inputs"
