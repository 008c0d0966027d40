"""generate.py NAME PROMPT LENGTH SEED: continue a text, one character at a time, the state fed back."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recurrent import Array, Model, Session, load

MODELS = Path(__file__).parent / "models"
TEMPERATURE = 0.6  # below 1: safer; above 1: wilder


def mulberry32(seed: int) -> Iterator[float]:
    """Draw uniform numbers in [0, 1): Tommy Ettinger's mulberry32, public domain."""
    mask = 0xFFFFFFFF
    while True:
        seed = (seed + 0x6D2B79F5) & mask
        mixed = ((seed ^ (seed >> 15)) * (seed | 1)) & mask
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (mixed | 61)) & mask)) & mask
        yield ((mixed ^ (mixed >> 14)) & mask) / 2**32


def choose(logits: Array, uniform: float) -> int:
    """Draw a token from the softmax of the logits, by where a uniform number falls in its sum."""
    scaled = logits.ravel().astype(np.float64) / TEMPERATURE
    cumulative = np.cumsum(np.exp(scaled - scaled.max()))
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


def generate(model: Model, prompt: str, length: int, seed: int) -> Iterator[str]:
    """Read the prompt, then draw characters, each from the one before and the state.

    Raises:
        ValueError: the model has no vocabulary, the prompt is not of it, or the length is negative.
    """
    if length < 0:
        raise ValueError(f"expected a length of 0 or more, got {length}")
    vocabulary = model.manifest["metadata"].get("vocabulary")
    if not vocabulary:
        raise ValueError(f"expected a model with a vocabulary, got {model.name}, which has none")
    if not prompt or not {*prompt} <= {*vocabulary}:
        raise ValueError(f"expected a prompt of {vocabulary!r}, got {prompt!r}")
    session, numbers = Session(model), mulberry32(seed)
    for character in prompt:
        logits = session.step(np.array([vocabulary.index(character)]))
    for _ in range(length):
        token = choose(logits, next(numbers))
        yield vocabulary[token]
        logits = session.step(np.array([token]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a bundle in models/")
    parser.add_argument("prompt", help="what the text begins with")
    parser.add_argument("length", type=int, help="how many characters to write")
    parser.add_argument("seed", type=int, help="another seed, another text")
    parser.add_argument("--runtime", default="onnxruntime", choices=["onnxruntime", "c"])
    options = parser.parse_args()
    try:
        model = load(MODELS / options.name, options.runtime)
        text = "".join(generate(model, options.prompt, options.length, options.seed))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(options.prompt + text)


if __name__ == "__main__":
    main()
