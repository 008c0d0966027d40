"""Continue a prompt with the exported character model, one character at a time, the state fed back.

python scripts/generate.py --prompt "The class statement" --length 200 --seed 1
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import rnn_export
from rnn_export.cli.terminal import reporting
from rnn_export.signature.tensors import Array

BUNDLE = Path(__file__).resolve().parents[1] / "artifacts" / "char_rnn"

# One call of the model: token ids [T, B] and the state (None for the initial one) in; logits and state out.
Step = Callable[[Array, tuple[Array, ...] | None], tuple[Array, tuple[Array, ...]]]


def mulberry32(seed: int) -> Iterator[float]:
    """Draw uniform numbers in [0, 1): a generator that is the same few lines in every language.

    Source: Tommy Ettinger's mulberry32, public domain.
    """
    mask = 0xFFFFFFFF
    while True:
        seed = (seed + 0x6D2B79F5) & mask
        mixed = ((seed ^ (seed >> 15)) * (seed | 1)) & mask
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (mixed | 61)) & mask)) & mask
        yield ((mixed ^ (mixed >> 14)) & mask) / 2**32


def choose(logits: Array, temperature: float, uniform: float) -> int:
    """Draw a token from the softmax of ``logits [vocabulary]``, by where ``uniform`` falls in its sum."""
    scaled = logits.astype(np.float64) / temperature
    cumulative = np.cumsum(np.exp(scaled - scaled.max()))
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


def generate(step: Step, prompt: list[int], length: int, temperature: float, seed: int) -> Iterator[int]:
    """Read the prompt, then draw ``length`` tokens, each from the one before and the state."""
    numbers = mulberry32(seed)
    logits, state = step(np.array(prompt, np.int64)[:, None], None)
    for _ in range(length):
        token = choose(logits[-1, 0], temperature, next(numbers))
        yield token
        logits, state = step(np.array([[token]], np.int64), state)


def main(
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "The ",
    length: Annotated[int, typer.Option(help="How many characters to write.")] = 300,
    temperature: Annotated[float, typer.Option(help="Below 1: safer; above 1: wilder.")] = 0.6,
    seed: Annotated[int, typer.Option(help="Another seed, another text.")] = 1,
    runtime: Annotated[str, typer.Option(help="onnxruntime, torchscript or reference.")] = "onnxruntime",
    bundle: Annotated[Path, typer.Option(help="The bundle of a character model.")] = BUNDLE,
) -> None:
    """Continue a prompt, one character at a time."""
    with reporting():
        vocabulary = rnn_export.Bundle.open(bundle).manifest.metadata["vocabulary"]
        runner = rnn_export.load(bundle, runtime)
    unknown = sorted(set(prompt) - set(vocabulary))
    if unknown or not prompt:
        raise typer.BadParameter(
            f"expected one or more of {vocabulary!r}, got {unknown}", param_hint="--prompt"
        )
    tokens = [vocabulary.index(character) for character in prompt]
    sys.stdout.write(prompt)
    for token in generate(runner, tokens, length, temperature, seed):
        sys.stdout.write(vocabulary[token])
        sys.stdout.flush()
    sys.stdout.write("\n")


if __name__ == "__main__":
    typer.run(main)
