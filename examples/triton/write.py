"""write.py NAME PROMPT LENGTH SEED [--triton 127.0.0.1:8001]: continue a text in a sequence of Triton's."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from generate import choose, mulberry32
from served import Remote, Served, StandIn

from recurrent import Array

HERE = Path(__file__).parent
SEQUENCE_ID = 1


def write(model: Served, name: str, vocabulary: str, prompt: str, seed: int) -> Iterator[str]:
    """Feed the prompt, then draw characters, each from the one before."""
    logits = feed(model, name, [vocabulary.index(character) for character in prompt], start=True)
    for uniform in mulberry32(seed):
        token = choose(logits, uniform)
        yield vocabulary[token]
        logits = feed(model, name, [token])


def feed(model: Served, name: str, tokens: list[int], *, start: bool = False) -> Array:
    """Feed tokens of one row; give the logits behind the last one."""
    inputs = {name: np.array([tokens], np.int64)}
    [logits] = model.infer(inputs, SEQUENCE_ID, start=start, end=False).values()
    last: Array = logits[0, -1]
    return last


def check_prompt(prompt: str, vocabulary: str) -> None:
    """Check that a prompt is of a vocabulary.

    Raises:
        ValueError: it is not.
    """
    if not prompt or not {*prompt} <= {*vocabulary}:
        raise ValueError(f"expected a prompt of {vocabulary!r}, got {prompt!r}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model of the repository")
    parser.add_argument("prompt", help="what the text begins with")
    parser.add_argument("length", type=int, help="how many characters to write")
    parser.add_argument("seed", type=int, help="another seed, another text")
    parser.add_argument("--triton", metavar="ADDRESS", help="of gRPC; without, ONNX Runtime stands in for it")
    options = parser.parse_args()
    try:
        manifest = json.loads((HERE / "models" / options.name / "manifest.json").read_text())
        vocabulary, [spec] = manifest["metadata"].get("vocabulary", ""), manifest["signature"]["inputs"]
        check_prompt(options.prompt, vocabulary)
        folder = HERE / "repository" / options.name
        model = Remote(options.triton, options.name) if options.triton else StandIn(folder)
        text = write(model, spec["name"], vocabulary, options.prompt, options.seed)
        print(options.prompt + "".join(islice(text, options.length)))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
