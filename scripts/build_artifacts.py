"""Build and verify the committed bundles: artifacts/rnn_scratch and artifacts/char_rnn. Run: make artifacts

The first is the net of the notebook that the project started from, untrained: 16 inputs, 32 hidden units, one
output, 100 time steps, batch 2. The second is the character model that scripts/train_char_rnn.py trained.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn
from train_char_rnn import WEIGHTS, build_model

from rnn_export.cli.terminal import progress, reporting, show
from rnn_export.exporter import export
from rnn_export.models import RNNScratch
from rnn_export.verification.verify import VerificationReport

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
CPU = torch.device("cpu")

Recipe = tuple[nn.Module, Any, dict[str, str]]


def rnn_scratch() -> Recipe:
    """Give the notebook's net and run."""
    torch.manual_seed(0)
    model = RNNScratch(num_inputs=16, num_hiddens=32, num_outputs=1)
    return model, (torch.rand(100, 2, 16), model.begin_state(2, CPU)), {}


def char_rnn() -> Recipe:
    """Give the trained character model; its example holds every character of the vocabulary."""
    with np.load(WEIGHTS, allow_pickle=False) as archive:
        vocabulary = str(archive["vocabulary"])
        weights = {name: torch.from_numpy(archive[name]) for name in archive.files if name != "vocabulary"}
    model = build_model(vocabulary)
    model.load_state_dict(weights)
    tokens = torch.arange(12 * 8).reshape(12, 8) % len(vocabulary)
    return model.eval(), (tokens, model.begin_state(8, CPU)), {"vocabulary": vocabulary}


RECIPES = {"rnn_scratch": rnn_scratch, "char_rnn": char_rnn}


def main(
    out: Annotated[Path, typer.Option(help="The folder for the bundles.")] = ARTIFACTS,
    only: Annotated[list[str] | None, typer.Option(help="Build these only.")] = None,
) -> None:
    """Build the committed bundles and show what was checked."""
    for name in only or RECIPES:
        model, example, metadata = RECIPES[name]()
        with reporting(), progress() as tell:
            bundle = export(model, example, out / name, metadata=metadata, overwrite=True, progress=tell)
        show(VerificationReport.stored(bundle.manifest), bundle.folder)


if __name__ == "__main__":
    typer.run(main)
