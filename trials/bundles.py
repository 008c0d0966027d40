"""What trials run: a net with one leaf of state, one with several, and one whose rows end apart."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import rnn_export
from rnn_export.models import DeepRNNScratch, GRUScratch, LSTMScratch
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import LENGTHS, Array

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
CPU = torch.device("cpu")
Arguments = tuple[Array, tuple[Array, ...] | None, Array | None]


@cache
def bundles() -> list[rnn_export.Bundle]:
    """Export what is not there yet, once for all trials; the folders last as long as this process."""
    one_leaf = rnn_export.Bundle.open(ARTIFACTS / "rnn_scratch")
    return [one_leaf, *(_two_layers(lengths) for lengths in (False, True))]


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def _two_layers(lengths: bool) -> rnn_export.Bundle:
    torch.manual_seed(1)
    net = DeepRNNScratch(LSTMScratch(8, 24, 12, sigma=0.2), GRUScratch(12, 20, 4, sigma=0.2))
    example = torch.randn(20, 3, 8), net.begin_state(3, CPU)
    folder = Path(_folder().name) / ("lengths" if lengths else "two_layers")
    return rnn_export.export(net, example, folder, lengths=lengths, pt2=True)


def runs(bundle: rnn_export.Bundle, runtime: str) -> bool:
    """Whether a runtime can run a bundle, which has a file for it.

    The reference evaluator ignores the lengths of an operator.
    """
    there = f"model{RUNTIMES[runtime].suffix}" in bundle.manifest.files
    return there and (runtime != "reference" or not bundle.signature.lengths)


def draw(random: np.random.Generator, signature: Signature, time: int, batch: int) -> Arguments:
    """Draw a call: inputs, a random or the initial state, and lengths if the model takes them."""

    def normal(shape: tuple[int, ...]) -> Array:
        return random.standard_normal(shape).astype(signature.dtype)

    sizes = {"time": time, "batch": batch}
    state = tuple(normal(leaf.sized(**sizes)) for leaf in signature.state) if random.random() < 0.7 else None
    lengths = random.integers(0, time + 1, LENGTHS.sized(**sizes)) if signature.lengths else None
    return normal(signature.inputs[0].sized(**sizes)), state, lengths
